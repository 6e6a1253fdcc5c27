//! A wire between the projection and PostgreSQL that can be cut exactly at a COMMIT: before the server hears of it, or after it
//! did it and before anybody hears of that.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

/// What becomes of the n-th COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Passes,
    /// Cut before the server hears of it.
    CutBefore,
    /// Cut after the server did it, before its answer.
    CutAfter,
}

/// The wire. Every connection through it counts its COMMITs together.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    pub(crate) cuts: Arc<AtomicU32>,
}

impl Proxy {
    /// A wire to `server_port`; `fate` says what becomes of each COMMIT, counted from 0.
    pub(crate) fn start(server_port: u16, fate: fn(u32) -> Fate) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (commits, cuts) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&cuts);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", server_port)).unwrap();
                // Small messages go back and forth: held back, each would wait 40 ms.
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let wire = Wire { client, server, commits: Arc::clone(&commits), cuts: Arc::clone(&counted), fate };
                thread::spawn(move || wire.carry());
            }
        });
        Self { port, cuts }
    }
}

struct Wire {
    client: TcpStream,
    server: TcpStream,
    commits: Arc<AtomicU32>,
    cuts: Arc<AtomicU32>,
    fate: fn(u32) -> Fate,
}

/// Whether answers are let through, and whether one came that was not.
#[derive(Default)]
struct Gate {
    shut: AtomicBool,
    answered: Mutex<bool>,
    told: Condvar,
}

impl Wire {
    fn carry(mut self) {
        let gate = Arc::new(Gate::default());
        let back = (self.server.try_clone().unwrap(), self.client.try_clone().unwrap(), Arc::clone(&gate));
        thread::spawn(move || carry_back(back.0, back.1, &back.2));
        // The first message has no type; this client offers no encryption here.
        let mut is_first = true;
        while let Some(message) = read_message(&mut self.client, is_first) {
            is_first = false;
            let fate = if message.starts_with(b"Q") && message[5..].starts_with(b"COMMIT") {
                (self.fate)(self.commits.fetch_add(1, Ordering::SeqCst))
            } else {
                Fate::Passes
            };
            if fate == Fate::CutBefore {
                self.cut();
                break;
            }
            gate.shut.store(fate == Fate::CutAfter, Ordering::SeqCst);
            if self.server.write_all(&message).is_err() {
                break;
            }
            if fate == Fate::CutAfter {
                let mut answered = gate.answered.lock().unwrap();
                while !*answered {
                    answered = gate.told.wait(answered).unwrap();
                }
                self.cut();
                break;
            }
        }
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
    }
}

fn carry_back(mut server: TcpStream, mut client: TcpStream, gate: &Gate) {
    let mut buffer = [0; 16 << 10];
    loop {
        let read = server.read(&mut buffer).unwrap_or(0);
        if gate.shut.load(Ordering::SeqCst) || read == 0 {
            *gate.answered.lock().unwrap() = true;
            gate.told.notify_all();
        }
        if read == 0 || (!gate.shut.load(Ordering::SeqCst) && client.write_all(&buffer[..read]).is_err()) {
            let _ = client.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn read_message(client: &mut TcpStream, is_first: bool) -> Option<Vec<u8>> {
    let mut message = vec![0; if is_first { 4 } else { 5 }];
    client.read_exact(&mut message).ok()?;
    let length = message[message.len() - 4..].try_into().map(u32::from_be_bytes).ok()?;
    let begins = message.len();
    message.resize(begins + usize::try_from(length).ok()?.checked_sub(4)?, 0);
    client.read_exact(&mut message[begins..]).ok()?;
    Some(message)
}
