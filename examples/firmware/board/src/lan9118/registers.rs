//! The controller's registers.

use core::ptr;

/// Where the board has the controller.
const BASE: usize = 0x4020_0000;

/// The registers, as offsets.
#[derive(Clone, Copy)]
pub(super) enum Register {
    RxDataFifo = 0x00,
    TxDataFifo = 0x20,
    RxStatusFifo = 0x40,
    TxStatusFifo = 0x48,
    IrqCfg = 0x54,
    IntSts = 0x58,
    IntEn = 0x5c,
    ByteTest = 0x64,
    FifoInt = 0x68,
    TxCfg = 0x70,
    HwCfg = 0x74,
    RxFifoInf = 0x7c,
    TxFifoInf = 0x80,
    RxDrop = 0xa0,
    MacCsrCmd = 0xa4,
    MacCsrData = 0xa8,
}

/// The registers of the MAC, which are reached through `MacCsrCmd` and `MacCsrData`.
#[derive(Clone, Copy)]
pub(super) enum MacRegister {
    Cr = 1,
    AddrH = 2,
    AddrL = 3,
}

/// Bits and values, after the names of their registers.
pub(super) mod bits {
    pub(crate) const BYTE_TEST: u32 = 0x8765_4321;

    pub(crate) const IRQ_CFG_IRQ_EN: u32 = 1 << 8;
    pub(crate) const IRQ_CFG_IRQ_POL: u32 = 1 << 4;
    pub(crate) const IRQ_CFG_IRQ_TYPE: u32 = 1 << 0;

    /// Of `IntSts` and `IntEn`: the receive status FIFO holds more than `FifoInt` says.
    pub(crate) const INT_RSFL: u32 = 1 << 3;

    pub(crate) const TX_CFG_TX_ON: u32 = 1 << 1;

    pub(crate) const HW_CFG_SRST: u32 = 1 << 0;

    /// Frames that wait.
    pub(crate) const RX_FIFO_INF_RXSUSED: u32 = 0xff << 16;
    /// Bytes that wait.
    pub(crate) const RX_FIFO_INF_RXDUSED: u32 = 0xffff;

    /// Frames that were sent, or not.
    pub(crate) const TX_FIFO_INF_TXSUSED: u32 = 0xff << 16;
    /// Bytes that are free.
    pub(crate) const TX_FIFO_INF_TDFREE: u32 = 0xffff;

    pub(crate) const MAC_CSR_CMD_BUSY: u32 = 1 << 31;

    pub(crate) const MAC_CR_FDPX: u32 = 1 << 20;
    pub(crate) const MAC_CR_MCPAS: u32 = 1 << 19;
    pub(crate) const MAC_CR_TXEN: u32 = 1 << 3;
    pub(crate) const MAC_CR_RXEN: u32 = 1 << 2;

    pub(crate) const RX_STATUS_LENGTH_SHIFT: u32 = 16;
    pub(crate) const RX_STATUS_LENGTH: u32 = 0x3fff;
    pub(crate) const RX_STATUS_ERROR: u32 = 1 << 15;

    pub(crate) const TX_STATUS_ERROR: u32 = 1 << 15;

    pub(crate) const TX_COMMAND_A_FIRST: u32 = 1 << 13;
    pub(crate) const TX_COMMAND_A_LAST: u32 = 1 << 12;
}

/// The registers of the board's controller.
pub(super) struct Registers;

impl Registers {
    /// Reads a register; reading one of a FIFO takes a word out of it.
    pub(super) fn read(&self, register: Register) -> u32 {
        // SAFETY: an aligned register of the controller, which always answers on this board.
        unsafe { ptr::read_volatile((BASE + register as usize) as *const u32) }
    }

    /// Writes a register.
    pub(super) fn write(&self, register: Register, value: u32) {
        // SAFETY: an aligned register of the controller, which always answers on this board. The controller cannot
        // reach memory: nothing that is written makes it touch any.
        unsafe { ptr::write_volatile((BASE + register as usize) as *mut u32, value) };
    }
}
