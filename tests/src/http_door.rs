//! The server's door for people and programs, and a client that sends exactly what it is told: paths as they stand,
//! headers as given, no cookie jar, no redirects.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use portreeve_server::{
    api,
    app::App,
    clock,
    config::Config,
    db::operator::{NewOperator, create_api_token, create_operator},
    listeners::http::{self, HttpListener},
    people::{ApiToken, Role, hash_password},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

pub const PASSWORD: &str = "correct horse battery";

/// Open until the server stops.
#[derive(Debug)]
pub struct HttpDoor {
    pub app: Arc<App>,
    pub address: SocketAddr,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// # Panics
    /// Where the body is not JSON: the test has failed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }

    /// The code of a problem. `None`: the answer is none.
    pub fn code(&self) -> Option<String> {
        let is_problem = self.header("content-type") == Some("application/problem+json");
        is_problem.then(|| self.json()["code"].as_str().map(ToOwned::to_owned)).flatten()
    }

    /// The session cookie that it sets, as a `cookie` header sends it back.
    pub fn cookie(&self) -> Option<String> {
        self.header("set-cookie")?.split(';').next().map(ToOwned::to_owned)
    }
}

impl HttpDoor {
    pub fn open(app: &Arc<App>) -> Result<Self> {
        let config = Config { http: ([127, 0, 0, 1], 0).into(), ..app.config.clone() };
        let listener = HttpListener::bind(&config)?;
        let address = axum::serve::Listener::local_addr(&listener)?;
        tokio::spawn(http::serve(listener, api::router(Arc::clone(app)), app.stopping.clone()));
        Ok(Self { app: Arc::clone(app), address })
    }

    /// An operator with [`PASSWORD`].
    pub async fn operator(&self, name: &str, role: Role, client_ids: Option<&[i32]>) -> Result<()> {
        let password_hash = hash_password(PASSWORD)?;
        let operator =
            NewOperator { operator_id: Uuid::new_v4(), name, role, password_hash: &password_hash, client_ids };
        Ok(create_operator(&self.app.db.pool, &operator, clock::now()).await?)
    }

    /// A bearer token of a new operator, as an `authorization` header.
    pub async fn token(&self, name: &str, role: Role, client_ids: Option<&[i32]>) -> Result<String> {
        self.operator(name, role, client_ids).await?;
        let token = ApiToken::random();
        create_api_token(&self.app.db.pool, &token, "test", name, None, clock::now()).await?;
        Ok(format!("Bearer {}", token.reveal()))
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
        let mut stream = self.stream(method, path, headers, body).await?;
        let mut bytes = Vec::new();
        tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut bytes)).await??;
        parse(&bytes)
    }

    pub async fn get(&self, path: &str, authorization: &str) -> Result<Answer> {
        self.send("GET", path, &[("authorization", authorization)], "").await
    }

    pub async fn sign_in(&self, name: &str, password: &str) -> Result<Answer> {
        let body = serde_json::json!({ "name": name, "password": password }).to_string();
        self.send("POST", "/api/v1/session", &[("content-type", "application/json")], &body).await
    }

    /// A request whose answer is read by the caller.
    pub async fn stream(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<TcpStream> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        if !body.is_empty() {
            text.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
        }
        text.push_str("\r\n");
        text.push_str(body);
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(text.as_bytes()).await?;
        Ok(stream)
    }
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    // Some files are in UTF-16.
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("the answer has a head")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("the answer has a status")?.parse()?;
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    Ok(Answer { status, headers, body: body.to_owned() })
}

/// Reads from `stream` until `text` has come, and returns all that came; an error when it has not come in time, or the
/// stream ended before.
pub async fn read_until(stream: &mut TcpStream, text: &str) -> Result<String> {
    let mut read = Vec::new();
    let reading = async {
        loop {
            let mut chunk = [0; 4096];
            let length = stream.read(&mut chunk).await?;
            anyhow::ensure!(length > 0, "the stream ended before `{text}`");
            read.extend_from_slice(&chunk[..length]);
            let so_far = String::from_utf8_lossy(&read);
            if so_far.contains(text) {
                return Ok(so_far.into_owned());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reading).await.context("nothing came in time")?
}
