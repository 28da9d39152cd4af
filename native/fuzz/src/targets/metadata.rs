//! What READY carries: a list within its limits, or the reason why not; written as it was read.

use shmzmq_zmtp::{
    Event, Inbound, MAX_IDENTITY_BYTES, MAX_METADATA_BYTES, MAX_PROPERTIES, Properties, ProtocolError, Ready,
    SocketType, encode_ready, greeting,
};

use crate::listener::expect_loggable;
use crate::memory;

/// The bytes are the data of a READY command.
pub fn check(data: &[u8]) {
    let (parsed, peak) = memory::peak(|| Properties::parse(data));
    assert!(peak <= 16 * data.len() + 8192, "{peak} bytes of memory for {} bytes of metadata", data.len());
    assert_eq!(parsed.as_ref().ok().map(owned), taken_apart(data), "{parsed:?}");
    match &parsed {
        Ok(properties) => expect_faithful(properties, data),
        Err(error) => expect_loggable(error),
    }
    expect_ready(parsed, Ready::parse(data));
}

type List = Vec<(Vec<u8>, Vec<u8>)>;

fn owned(properties: &Properties) -> List {
    properties.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// The list as RFC 37 packs it and our limits allow it, `None` for anything else.
fn taken_apart(mut bytes: &[u8]) -> Option<List> {
    let mut list = List::new();
    let mut seen = std::collections::HashSet::new();
    if bytes.len() > MAX_METADATA_BYTES {
        return None;
    }
    while !bytes.is_empty() {
        let name_end = 1 + usize::from(bytes[0]);
        let length: [u8; 4] = bytes.get(name_end..name_end + 4)?.try_into().ok()?;
        let value_end = name_end + 4 + usize::try_from(u32::from_be_bytes(length)).ok()?;
        let value = bytes.get(name_end + 4..value_end)?;
        let name = &bytes[1..name_end];
        if name.is_empty() || !seen.insert(name.to_ascii_lowercase()) || list.len() == MAX_PROPERTIES {
            return None;
        }
        list.push((name.to_vec(), value.to_vec()));
        bytes = &bytes[value_end..];
    }
    Some(list)
}

fn expect_faithful(properties: &Properties, data: &[u8]) {
    let mut again = Vec::new();
    properties.encode(&mut again);
    assert_eq!(again, data);
    assert!(properties.len() <= MAX_PROPERTIES && data.len() <= MAX_METADATA_BYTES);
    let mut pushed = Properties::new();
    for (name, value) in properties.iter() {
        assert_eq!(pushed.push(name, value), Ok(()));
        if let Ok(name) = std::str::from_utf8(name) {
            for case in [name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
                assert_eq!(properties.get(&case), Some(value));
            }
        }
    }
    assert_eq!(&pushed, properties);
    if let Some((name, _)) = properties.iter().next() {
        assert!(pushed.push(name, b"").is_err(), "a name twice");
        assert_eq!(&pushed, properties, "a refused push changed the list");
    }
    expect_on_the_wire(properties, data);
}

/// The list in a READY frame of ours arrives as it is.
fn expect_on_the_wire(properties: &Properties, data: &[u8]) {
    let texts: Option<Vec<(&str, &[u8])>> =
        properties.iter().map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value))).collect();
    let Some(texts) = texts else { return };
    let mut wire = greeting().to_vec();
    encode_ready(&texts, &mut wire);
    let mut inbound = Inbound::new(MAX_METADATA_BYTES + 6);
    inbound.feed(&wire);
    assert!(matches!(inbound.next(), Ok(Some(Event::Greeting { .. }))));
    let ready = Event::Command { name: b"READY".to_vec(), body: data.to_vec() };
    assert_eq!(inbound.next(), Ok(Some(ready)));
}

fn expect_ready(parsed: Result<Properties, ProtocolError>, ready: Result<Ready, ProtocolError>) {
    let properties = match (parsed, &ready) {
        (Err(broken), refused) => return assert_eq!(refused, &Err(broken)),
        (Ok(properties), _) => properties,
    };
    let named = properties.get("Socket-Type");
    let kind = named.and_then(SocketType::from_name);
    let counts = matches!(kind, Some(SocketType::Req | SocketType::Dealer | SocketType::Router));
    let identity = properties.get("Identity").filter(|_| counts).unwrap_or_default();
    let good = identity.len() <= MAX_IDENTITY_BYTES && identity.first() != Some(&0);
    match ready {
        Ok(ready) => {
            assert!(good && named.is_some() == kind.is_some());
            assert_eq!((ready.socket_type, &*ready.identity), (kind, identity));
            expect_who_may_join(&ready);
            assert_eq!(ready.properties, properties);
        }
        Err(error) => {
            assert!(!good || named.is_some() && kind.is_none(), "{error} without reason");
            expect_loggable(&error);
        }
    }
}

fn expect_who_may_join(ready: &Ready) {
    for ours in (0..12).filter_map(SocketType::from_number) {
        let joins = ready.check_peer_of(ours);
        assert_eq!(joins.is_ok(), ready.socket_type.is_none_or(|theirs| theirs.may_talk_to(ours)));
        joins.unwrap_or_else(|error| expect_loggable(&error));
    }
}
