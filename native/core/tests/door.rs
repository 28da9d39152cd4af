//! Who has to go when a door is full, and the addresses by which sources are told apart.

#![allow(clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use shmzmq_core::dial::{Address, TcpAddress, peer_address};
use shmzmq_core::door::Door;

/// Handshakes under way per listener, as the page on the handshake says (docs/design/ipc-handshake.md).
const PLACES: u64 = 1024;

/// A connection whose other end is this address of the loopback network.
fn connection_to(ip: &str) -> (TcpStream, TcpListener) {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener)
}

#[test]
fn nobody_goes_while_there_is_room_and_then_the_oldest() {
    let door = Arc::new(Door::default());
    let (wire, _peer) = UnixStream::pair().unwrap();
    let mut places = Vec::new();
    for token in 0..PLACES {
        let (place, go) = door.enter(wire.as_fd(), token);
        assert_eq!(go, [], "{token}");
        places.push(place);
    }
    let (_last, go) = door.enter(wire.as_fd(), PLACES);
    assert_eq!(go, [0]);
    // Two leave: the one that has to go, whose place is taken, and another; then there is room for one.
    places.drain(..2);
    let (_next, go) = door.enter(wire.as_fd(), PLACES + 1);
    assert_eq!(go, []);
    let (_next, go) = door.enter(wire.as_fd(), PLACES + 2);
    assert_eq!(go, [2]);
}

#[test]
fn of_the_source_with_most_places_somebody_goes_whoever_comes() {
    let door = Arc::new(Door::default());
    let (few, _few) = connection_to("127.0.0.1");
    let (many, _many) = connection_to("127.0.0.2");
    let (host, _peer) = UnixStream::pair().unwrap();
    let enter = |wire: &dyn AsFd, token| door.enter(wire.as_fd(), token);
    let mut places = vec![enter(&few, 0).0, enter(&host, 1).0];
    for token in 2..PLACES {
        let (place, go) = enter(&many, token);
        assert_eq!(go, []);
        places.push(place);
    }
    for (token, wire) in [(PLACES, &few as &dyn AsFd), (PLACES + 1, &host), (PLACES + 2, &many)] {
        let (place, go) = enter(wire, token);
        assert_eq!(go, [token - PLACES + 2], "the next, though the last may not have gone yet");
        places.push(place);
    }
}

#[test]
fn a_place_is_given_back_once_by_dropping_it() {
    let door = Arc::new(Door::default());
    let (wire, _peer) = UnixStream::pair().unwrap();
    for token in 0..3 * PLACES {
        let (place, go) = door.enter(wire.as_fd(), token);
        assert_eq!(go, []);
        drop(place);
    }
}

#[test]
fn the_address_of_a_peer_is_numeric_or_empty() {
    let (wire, _peer) = connection_to("127.0.0.3");
    assert_eq!(peer_address(wire.as_fd()), "127.0.0.3");
    let (host, _peer) = UnixStream::pair().unwrap();
    assert_eq!(peer_address(host.as_fd()), "");
}

#[test]
fn an_address_is_shown_as_its_endpoint() {
    let text: Arc<[u8]> = Arc::from(&b"tcp://some.name:5555"[..]);
    let tcp = TcpAddress {
        host: "some.name".to_owned(),
        port: 5555,
        source_host: String::new(),
        source_port: 0,
        text: text.clone(),
    };
    let tcp = Address::Tcp(Arc::new(tcp));
    assert!(tcp.is_tcp());
    assert_eq!(tcp.text(), text);
    assert_eq!(&*Address::Path("/tmp/x".into()).text(), b"ipc:///tmp/x");
    assert_eq!(&*Address::Abstract(b"name".to_vec()).text(), b"ipc://@name");
}
