//! The Ethernet controller LAN9118, which moves frames through FIFOs that are read and written word by word.
//!
//! Registers and bits have the data sheet's names.

use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_sync::waitqueue::AtomicWaker;
use static_cell::ConstStaticCell;

mod registers;

use registers::{MacRegister, Register, Registers, bits};

/// Bytes of a frame at the most, without its checksum.
const FRAME_MAX: usize = 1514;
/// Bytes of the checksum that follows a received frame.
const FCS: usize = 4;
/// Frames are moved in whole words.
const WORD: usize = size_of::<u32>();
const BUFFER: usize = (FRAME_MAX + FCS).next_multiple_of(WORD);
/// Bytes that a frame takes in the transmit FIFO, with its two command words.
const TX_FIFO_NEEDED: u32 = (BUFFER + 2 * WORD) as u32;
/// Bytes of the receive data FIFO, as the chip divides its memory after a reset.
const RX_FIFO_SIZE: u32 = 10_560;

/// Looks at a register until it is ready; after so many, the chip is broken.
const POLLS_MAX: u32 = 1_000_000;

static REGISTERS: Registers = Registers;
/// The network stack's task.
static WAKER: AtomicWaker = AtomicWaker::new();
static COUNTERS: AtomicCounters = AtomicCounters::new();

/// What became of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Frames that were received.
    pub rx_frames: u32,
    /// Frames that were received damaged, or too long.
    pub rx_errors: u32,
    /// Frames that the chip dropped as its FIFO was full. QEMU drops them without counting.
    pub rx_dropped: u32,
    /// How often the FIFO was found without room for a frame of full length: that many times at least, frames may have
    /// been lost. Where `rx_dropped` is not counted, this is the only hint.
    pub rx_full: u32,
    /// Frames that were sent.
    pub tx_frames: u32,
    /// Frames that the chip could not send.
    pub tx_errors: u32,
}

struct AtomicCounters {
    rx_frames: AtomicU32,
    rx_errors: AtomicU32,
    rx_dropped: AtomicU32,
    rx_full: AtomicU32,
    tx_frames: AtomicU32,
    tx_errors: AtomicU32,
}

impl AtomicCounters {
    const fn new() -> Self {
        Self {
            rx_frames: AtomicU32::new(0),
            rx_errors: AtomicU32::new(0),
            rx_dropped: AtomicU32::new(0),
            rx_full: AtomicU32::new(0),
            tx_frames: AtomicU32::new(0),
            tx_errors: AtomicU32::new(0),
        }
    }
}

fn count(counter: &AtomicU32, more: u32) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// What became of frames since the start.
pub fn counters() -> Counters {
    // Reading clears it.
    count(&COUNTERS.rx_dropped, REGISTERS.read(Register::RxDrop));
    Counters {
        rx_frames: COUNTERS.rx_frames.load(Ordering::Relaxed),
        rx_errors: COUNTERS.rx_errors.load(Ordering::Relaxed),
        rx_dropped: COUNTERS.rx_dropped.load(Ordering::Relaxed),
        rx_full: COUNTERS.rx_full.load(Ordering::Relaxed),
        tx_frames: COUNTERS.tx_frames.load(Ordering::Relaxed),
        tx_errors: COUNTERS.tx_errors.load(Ordering::Relaxed),
    }
}

/// Why the controller did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// There is no LAN9118 at the board's address.
    Absent,
    /// It did not get ready.
    Stuck,
}

/// The controller, started.
pub struct Lan9118 {
    address: [u8; 6],
    rx: &'static mut [u8; BUFFER],
    tx: &'static mut [u8; BUFFER],
}

impl Lan9118 {
    /// Resets the controller and starts it with a MAC address. To be called once.
    pub fn start(address: [u8; 6]) -> Result<Self, Error> {
        static RX: ConstStaticCell<[u8; BUFFER]> = ConstStaticCell::new([0; BUFFER]);
        static TX: ConstStaticCell<[u8; BUFFER]> = ConstStaticCell::new([0; BUFFER]);

        // The chip's memory bus is alive after the first of these reads only.
        REGISTERS.read(Register::ByteTest);
        if REGISTERS.read(Register::ByteTest) != bits::BYTE_TEST {
            return Err(Error::Absent);
        }
        REGISTERS.write(Register::HwCfg, bits::HW_CFG_SRST);
        wait_for(|| REGISTERS.read(Register::HwCfg) & bits::HW_CFG_SRST == 0)?;
        set_address(address)?;
        start_interrupts();
        start_mac()?;
        Ok(Self { address, rx: RX.take(), tx: TX.take() })
    }

    /// Moves the next good frame to the buffer; answers with its length.
    fn read_frame(&mut self) -> Option<usize> {
        loop {
            let fifo = REGISTERS.read(Register::RxFifoInf);
            if fifo & bits::RX_FIFO_INF_RXSUSED == 0 {
                return None;
            }
            if (fifo & bits::RX_FIFO_INF_RXDUSED) + BUFFER as u32 > RX_FIFO_SIZE {
                count(&COUNTERS.rx_full, 1);
            }
            let status = REGISTERS.read(Register::RxStatusFifo);
            let len = (status >> bits::RX_STATUS_LENGTH_SHIFT & bits::RX_STATUS_LENGTH) as usize;
            if status & bits::RX_STATUS_ERROR == 0 && (FCS..=FRAME_MAX + FCS).contains(&len) {
                self.read_data(len);
                count(&COUNTERS.rx_frames, 1);
                return Some(len - FCS);
            }
            discard(len);
            count(&COUNTERS.rx_errors, 1);
        }
    }

    fn read_data(&mut self, len: usize) {
        let (words, _) = self.rx[..len.next_multiple_of(WORD)].as_chunks_mut();
        for word in words {
            *word = REGISTERS.read(Register::RxDataFifo).to_le_bytes();
        }
    }

    /// A frame has arrived, or the stack's task will be woken when one does.
    fn poll_frame(&mut self, cx: &Context<'_>) -> Option<usize> {
        if let Some(len) = self.read_frame() {
            return Some(len);
        }
        WAKER.register(cx.waker());
        REGISTERS.write(Register::IntSts, bits::INT_RSFL);
        REGISTERS.write(Register::IntEn, bits::INT_RSFL);
        // One that arrived before the interrupt's last state was cleared does not interrupt again.
        self.read_frame()
    }
}

/// Takes a frame out of the receive FIFO for nothing. (The chip can skip one by itself, but QEMU's then loses count.)
fn discard(len: usize) {
    for _ in 0..len.div_ceil(WORD) {
        REGISTERS.read(Register::RxDataFifo);
    }
}

/// There is room for a frame in the transmit FIFO.
fn can_send() -> bool {
    REGISTERS.read(Register::TxFifoInf) & bits::TX_FIFO_INF_TDFREE >= TX_FIFO_NEEDED
}

/// Gives a frame to the chip.
fn send(frame: &[u8]) {
    let len = frame.len() as u32;
    REGISTERS.write(Register::TxDataFifo, bits::TX_COMMAND_A_FIRST | bits::TX_COMMAND_A_LAST | len);
    REGISTERS.write(Register::TxDataFifo, len);
    let (words, rest) = frame.as_chunks();
    for word in words {
        REGISTERS.write(Register::TxDataFifo, u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let mut word = [0; WORD];
        word[..rest.len()].copy_from_slice(rest);
        REGISTERS.write(Register::TxDataFifo, u32::from_le_bytes(word));
    }
}

/// Takes what the chip has to say about sent frames; if nobody did, it would stop to send.
fn drain_tx_status() {
    while REGISTERS.read(Register::TxFifoInf) & bits::TX_FIFO_INF_TXSUSED != 0 {
        let failed = REGISTERS.read(Register::TxStatusFifo) & bits::TX_STATUS_ERROR != 0;
        count(if failed { &COUNTERS.tx_errors } else { &COUNTERS.tx_frames }, 1);
    }
}

fn set_address([a, b, c, d, e, f]: [u8; 6]) -> Result<(), Error> {
    write_mac(MacRegister::AddrH, u32::from_le_bytes([e, f, 0, 0]))?;
    write_mac(MacRegister::AddrL, u32::from_le_bytes([a, b, c, d]))
}

/// The line is active high and push-pull, as the board wants it. The interrupt itself is enabled when somebody waits.
fn start_interrupts() {
    REGISTERS.write(Register::IntEn, 0);
    REGISTERS.write(Register::IntSts, u32::MAX);
    // One frame is enough to interrupt.
    REGISTERS.write(Register::FifoInt, 0);
    let line = bits::IRQ_CFG_IRQ_EN | bits::IRQ_CFG_IRQ_POL | bits::IRQ_CFG_IRQ_TYPE;
    REGISTERS.write(Register::IrqCfg, line);
}

/// Multicast is let through, for IPv6 finds its neighbours with it.
fn start_mac() -> Result<(), Error> {
    REGISTERS.write(Register::TxCfg, bits::TX_CFG_TX_ON);
    let mode = bits::MAC_CR_FDPX | bits::MAC_CR_MCPAS | bits::MAC_CR_TXEN | bits::MAC_CR_RXEN;
    write_mac(MacRegister::Cr, mode)
}

/// Registers of the MAC are written through two others.
fn write_mac(register: MacRegister, value: u32) -> Result<(), Error> {
    let ready = || REGISTERS.read(Register::MacCsrCmd) & bits::MAC_CSR_CMD_BUSY == 0;
    wait_for(ready)?;
    REGISTERS.write(Register::MacCsrData, value);
    REGISTERS.write(Register::MacCsrCmd, bits::MAC_CSR_CMD_BUSY | register as u32);
    wait_for(ready)
}

fn wait_for(ready: impl Fn() -> bool) -> Result<(), Error> {
    if (0..POLLS_MAX).any(|_| ready()) { Ok(()) } else { Err(Error::Stuck) }
}

/// The chip has a frame. Its interrupt stays off until the stack has taken all frames and waits again.
pub(crate) fn on_interrupt() {
    REGISTERS.write(Register::IntEn, 0);
    WAKER.wake();
}

impl Driver for Lan9118 {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(RxToken<'_>, TxToken<'_>)> {
        if !can_send() {
            // The FIFO gets empty within a few frames' time on the wire: no interrupt is worth it.
            cx.waker().wake_by_ref();
            return None;
        }
        let len = self.poll_frame(cx)?;
        Some((RxToken { frame: &mut self.rx[..len] }, TxToken { buffer: self.tx }))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<TxToken<'_>> {
        if !can_send() {
            cx.waker().wake_by_ref();
            return None;
        }
        Some(TxToken { buffer: self.tx })
    }

    /// The emulated cable is always plugged in.
    fn link_state(&mut self, _cx: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_MAX;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

/// A received frame.
pub struct RxToken<'a> {
    frame: &'a mut [u8],
}

impl embassy_net_driver::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(self.frame)
    }
}

/// Room for a frame to send.
pub struct TxToken<'a> {
    buffer: &'a mut [u8; BUFFER],
}

impl embassy_net_driver::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let frame = &mut self.buffer[..len];
        let result = f(frame);
        send(frame);
        drain_tx_status();
        result
    }
}
