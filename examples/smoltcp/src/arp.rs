//! Asking for a neighbour's hardware address.

use core::net::Ipv4Addr;

use smoltcp::phy::{Device, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol};

/// Who has that address? (RFC 826) smoltcp takes the answer in as if it had asked itself.
pub(crate) fn ask<D: Device>(now: Instant, device: &mut D, (own, ip): (EthernetAddress, Ipv4Addr), target: Ipv4Addr) {
    // A device without room is one lost packet.
    let Some(token) = device.transmit(now) else { return };
    let request = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: own,
        source_protocol_addr: ip,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    token.consume(EthernetFrame::<&[u8]>::buffer_len(request.buffer_len()), |buffer| {
        let mut frame = EthernetFrame::new_unchecked(buffer);
        frame.set_src_addr(own);
        frame.set_dst_addr(EthernetAddress::BROADCAST);
        frame.set_ethertype(EthernetProtocol::Arp);
        request.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    });
}
