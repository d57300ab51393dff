//! Readiness: a process is not ready while its database or its bus cannot be reached.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use carillon_runtime::http::{ClientOptions, client};
use carillon_testkit::{
    installation::{RoleArgs, Services, Setup},
    wait_for,
};

/// Connections to a service that can be cut.
struct Line {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(service: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            address: listener.local_addr().unwrap(),
            cut: Arc::default(),
            open: Arc::default(),
        };
        let (cut, open) = (Arc::clone(&line.cut), Arc::clone(&line.open));
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if cut.load(Ordering::SeqCst) {
                    continue;
                }
                let far = TcpStream::connect(&service).unwrap();
                for (mut from, mut to) in [
                    (near.try_clone().unwrap(), far.try_clone().unwrap()),
                    (far.try_clone().unwrap(), near.try_clone().unwrap()),
                ] {
                    thread::spawn(move || {
                        // The end of one direction ends both.
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                open.lock().unwrap().extend([near, far]);
            }
        });
        line
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

const ROLES: &[RoleArgs] = &[
    ("simulator", &["simulator"]),
    ("gateway", &["gateway"]),
    ("sms", &["worker", "--channel", "sms"]),
    ("templates", &["templates"]),
];

/// A service can be taken away only if it belongs to this test.
#[test]
fn a_role_is_not_ready_while_its_database_is_away_and_ready_again_after() {
    let Some(services) = Services::from_env() else {
        return;
    };
    let (before, after) = services.database.split_once('@').unwrap();
    let (place, name) = after.split_once('/').unwrap();
    let line = Line::to(place.to_owned());
    let database = format!("{before}@{}/{name}", line.address);
    let setup = Setup {
        services: Some(Services { database, ..services }),
        roles: ROLES,
        ..crate::setup()
    };
    crate::with_installation_of(setup, async |mut carillon| {
        let mut urls = vec![carillon.url.clone()];
        urls.extend(["sms", "templates"].map(|role| format!("http://127.0.0.1:{}", carillon.port(role))));
        let client = client(&ClientOptions::default()).unwrap();
        let all = async |status: u16| {
            for url in &urls {
                let what = format!("{status} of {url}");
                wait_for(&what, Duration::from_mins(1), || async {
                    let answer = client.get(format!("{url}/readyz")).send().await;
                    answer.is_ok_and(|answer| answer.status() == status)
                })
                .await;
            }
        };
        all(200).await;
        line.cut();
        all(503).await;
        line.mend();
        all(200).await;
    });
}

#[test]
fn every_role_serves_its_health_and_metrics() {
    crate::with_installation(async |mut carillon| {
        let roles: Vec<_> = carillon.roles().map(|(name, _)| name).collect();
        let mut urls: Vec<_> = roles.into_iter().map(|name| carillon.ready_url(name)).collect();
        urls.push(format!("{}/readyz", carillon.simulator));
        let client = client(&ClientOptions::default()).unwrap();
        for url in urls {
            for path in ["/healthz", "/readyz", "/metrics"] {
                let url = url.replace("/readyz", path);
                wait_for(&url, Duration::from_mins(1), || async {
                    let answer = client.get(&url).send().await;
                    answer.is_ok_and(|answer| answer.status() == 200)
                })
                .await;
            }
        }
    });
}
