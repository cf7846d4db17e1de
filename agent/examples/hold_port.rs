//! A program for tests: holds the ports it is told until its standard input ends, as an unwanted guest on a server would.
//!
//! usage: hold_port udp/1812 tcp/3101 …    (prints one line, `holding`, once all are bound)

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use rules::ports::{Port, Protocol};

fn main() -> anyhow::Result<()> {
    let mut held: Vec<Held> = Vec::new();
    for argument in std::env::args().skip(1) {
        held.push(Held::bind(argument.parse()?)?);
    }
    println!("holding");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(held);
    Ok(())
}

enum Held {
    Tcp(#[expect(dead_code, reason = "held, not used")] TcpListener),
    Udp(#[expect(dead_code, reason = "held, not used")] UdpSocket),
}

impl Held {
    /// Asks each socket for its TTL: Wine knows the owner of a socket only after its process has used it that way.
    fn bind(port: Port) -> io::Result<Self> {
        let address = (Ipv4Addr::LOCALHOST, port.number);
        match port.protocol {
            Protocol::Tcp => {
                let listener = TcpListener::bind(address)?;
                listener.ttl()?;
                Ok(Self::Tcp(listener))
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind(address)?;
                socket.ttl()?;
                Ok(Self::Udp(socket))
            }
        }
    }
}
