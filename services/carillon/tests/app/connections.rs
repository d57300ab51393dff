//! The memory that a connection costs the process.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
};

use carillon_testkit::installation::Installation;

use crate::with_installation;

const CONNECTIONS: usize = 2_000;

/// Resident memory of the gateway's process, in bytes.
fn memory(installation: &mut Installation) -> u64 {
    let mut roles = installation.roles();
    let (_, gateway) = roles.find(|(name, _)| ["dev", "gateway"].contains(name)).unwrap();
    let process = procfs::process::Process::new(gateway.pid().try_into().unwrap()).unwrap();
    process.status().unwrap().vmrss.unwrap() * 1_024
}

/// Opens a connection, sends a request, and keeps the connection open.
fn open(address: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK\r\n");
    stream
}

#[test]
fn an_idle_connection_costs_a_few_tens_of_kilobytes() {
    with_installation(async |mut installation| {
        let address = installation.url.trim_start_matches("http://").to_owned();
        // The first connections also allocate structures that are created once; they are not measured.
        let _first: Vec<_> = (0..100).map(|_| open(&address)).collect();
        let before = memory(&mut installation);
        let streams: Vec<_> = (0..CONNECTIONS).map(|_| open(&address)).collect();
        let each = memory(&mut installation).saturating_sub(before) / streams.len() as u64;
        assert!(each < 40_000, "{each} bytes each");
    });
}
