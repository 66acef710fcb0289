//! What only some systems can do: spreading the datagrams of one port over several sockets.

#[cfg(target_os = "linux")]
pub(super) use linux::{is_spread, join, simplify};
#[cfg(not(target_os = "linux"))]
pub(super) use portable::{is_spread, join, simplify};

/// Elsewhere the sockets of all workers are one.
#[cfg(not(target_os = "linux"))]
mod portable {
    use std::io;
    use std::net::{IpAddr, SocketAddr, UdpSocket};

    use socket2::Socket;

    pub(crate) fn join(_: &mut Vec<Socket>, _: usize, _: fn(SocketAddr) -> io::Result<Socket>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn simplify(_: &UdpSocket, _: IpAddr, _: bool) {}

    pub(crate) fn is_spread(_: &UdpSocket) -> bool {
        false
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::net::{IpAddr, SocketAddr, UdpSocket};

    use nix::libc::{self, sock_filter, sock_fprog};
    use nix::sys::socket::{setsockopt, sockopt};
    use socket2::{SockRef, Socket};

    /// Opens the other workers' sockets on the port of the first, if it is alone, in the order of their lanes, and tells the system what goes
    /// where. They must all live as long as the node: when one is closed, another takes its place in the order.
    pub(crate) fn join(
        sockets: &mut Vec<Socket>,
        workers: usize,
        open: fn(SocketAddr) -> io::Result<Socket>,
    ) -> io::Result<()> {
        if let [first] = &sockets[..] {
            let others = open_others(first, workers, open)?;
            sockets.extend(others);
        }
        let mut program = program(workers as u32);
        let program = sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        Ok(setsockopt(&sockets[0], sockopt::AttachReusePortCbpf, &program)?)
    }

    fn open_others(
        first: &Socket,
        workers: usize,
        open: fn(SocketAddr) -> io::Result<Socket>,
    ) -> io::Result<Vec<Socket>> {
        let address = first.local_addr()?;
        let listen = address.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        first.set_reuse_port(true)?;
        let opened = (1..workers).map(|_| open(listen)).map(|socket| {
            let socket = socket?;
            socket.set_reuse_port(true)?;
            socket.bind(&address)?;
            Ok(socket)
        });
        let opened: io::Result<Vec<Socket>> = opened.collect();
        // Alone it shares its port with nobody.
        opened.inspect_err(|_| drop(first.set_reuse_port(false)))
    }

    /// Whether a socket is one of several on its port, as [`join`] makes them.
    pub(crate) fn is_spread(socket: &UdpSocket) -> bool {
        SockRef::from(socket).reuse_port().unwrap_or(false)
    }

    /// Takes back what the socket library asks for and a node does not read, as each costs time with every datagram: when it
    /// came, its congestion bits, and, on a socket with one address, that address. What does not work costs only that.
    pub(crate) fn simplify(socket: &UdpSocket, address: IpAddr, offload: bool) {
        let _ = setsockopt(socket, sockopt::ReceiveTimestampns, &false);
        let _ = setsockopt(socket, sockopt::IpRecvTos, &false);
        if !address.is_unspecified() {
            let _ = setsockopt(socket, sockopt::Ipv4PacketInfo, &false);
            let _ = setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &false);
        }
        if !offload {
            let _ = setsockopt(socket, sockopt::UdpGroSegment, &false);
        }
    }

    const LENGTH: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_LEN;
    const BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const TO_X: u32 = libc::BPF_MISC | libc::BPF_TAX;
    const ADD_X: u32 = libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X;
    const SUBTRACT: u32 = libc::BPF_ALU | libc::BPF_SUB | libc::BPF_K;
    const SHIFT_RIGHT: u32 = libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K;
    const MODULO: u32 = libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    const IF_BITS: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    const RETURN_A: u32 = libc::BPF_RET | 0x10;

    /// `kad_wire::Steering` in the instructions of the classic Berkeley packet filter: it answers with the place of a socket
    /// in the group. To a place that does not exist the system says: whichever the addresses' hash names.
    pub(super) fn program(workers: u32) -> [sock_filter; 21] {
        const ANYBODY: u32 = u32::MAX;
        let step = |code: u32, k: u32| sock_filter { code: code as u16, jt: 0, jf: 0, k };
        let when = |code: u32, k: u32, jt: u8, jf: u8| sock_filter { code: code as u16, jt, jf, k };
        [
            step(LENGTH, 0),
            when(IF_AT_LEAST, 16, 0, 18),
            // The kind. Bit 7: a reply. 4: a PULL, which may name a lane.
            step(BYTE, 1),
            when(IF_BITS, 0x80, 13, 0),
            when(IF_EQUAL, 4, 0, 2),
            step(BYTE, 57),
            when(IF_EQUAL, 0, 0, 11),
            // A request: the tag's nonce without the attempt, folded.
            step(BYTE, 10),
            step(SHIFT_RIGHT, 2),
            step(TO_X, 0),
            step(BYTE, 11),
            step(ADD_X, 0),
            step(TO_X, 0),
            step(WORD, 12),
            step(ADD_X, 0),
            step(MODULO, workers),
            step(RETURN_A, 0),
            // A reply: its lane. Lanes are counted from 1, and 0 becomes a place that does not exist.
            step(BYTE, 2),
            step(SUBTRACT, 1),
            step(RETURN_A, 0),
            step(RETURN, ANYBODY),
        ]
    }

    #[cfg(test)]
    mod tests {
        use kad_wire::Steering;

        use super::*;

        /// As much of a filter machine as the program needs, for its logic; that Linux takes it is tested with sockets.
        fn run(program: &[sock_filter], packet: &[u8]) -> u32 {
            let (mut a, mut x, mut at) = (0u32, 0u32, 0);
            loop {
                let sock_filter { code, jt, jf, k } = program[at];
                at += 1;
                let jump = |yes: bool| usize::from(if yes { jt } else { jf });
                match u32::from(code) {
                    LENGTH => a = packet.len() as u32,
                    BYTE => match packet.get(k as usize) {
                        Some(byte) => a = (*byte).into(),
                        // As the system does it.
                        None => return 0,
                    },
                    WORD => a = u32::from_be_bytes(packet[k as usize..][..4].try_into().unwrap()),
                    TO_X => x = a,
                    ADD_X => a = a.wrapping_add(x),
                    SUBTRACT => a = a.wrapping_sub(k),
                    SHIFT_RIGHT => a >>= k,
                    MODULO => a %= k,
                    IF_EQUAL => at += jump(a == k),
                    IF_AT_LEAST => at += jump(a >= k),
                    IF_BITS => at += jump(a & k != 0),
                    RETURN => return k,
                    RETURN_A => return a,
                    other => panic!("no such instruction: {other:#x}"),
                }
            }
        }

        #[test]
        fn the_program_says_what_the_protocol_says() {
            let program = program(3);
            let mut dice = fastrand::Rng::with_seed(1);
            for _ in 0..20_000 {
                let mut packet = vec![0; dice.usize(..100)];
                dice.fill(&mut packet);
                if let Some(kind) = packet.get_mut(1) {
                    *kind = *dice.choice(&[1, 2, 3, 4, 4, 4, 5, 6, 0x81, 0x84, *kind]).unwrap();
                }
                if let Some(lane) = packet.get_mut(57) {
                    *lane = dice.u8(..3);
                }
                let place = run(&program, &packet);
                match Steering::of(&packet) {
                    // A PULL that ends before its lane is nothing, and may go anywhere.
                    Steering::Spread(number) if packet[1] != 4 || packet.len() > 57 => assert_eq!(place, number % 3),
                    Steering::Lane(lane) => assert_eq!(place, u32::from(lane) - 1),
                    Steering::Any => assert_eq!(place, u32::MAX),
                    Steering::Spread(_) => {}
                    // Whoever gets it tells the others.
                    Steering::All => assert!(place < 3),
                }
            }
        }
    }
}
