//! The form that brings a capture: its fields, checked, and its files, bounded.

use axum::extract::Multipart;
use axum::extract::multipart::{Field, MultipartError, MultipartRejection};
use chrono::{DateTime, Utc};
use http::StatusCode;
use utoipa::ToSchema;

use crate::api::problem::{Code, Problem};
use crate::captures::{CaptureFile, MAX_BYTES, MAX_FILES};

/// The files, and room for what a form puts around them.
pub(super) const MAX_BODY: usize = MAX_BYTES + 1024 * 1024;
/// Characters of a name that people give.
const MAX_NAME: usize = 200;

/// A capture and where it belongs.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the form")]
pub(super) struct CaptureBody {
    /// Id of the client. A dry run needs none.
    client: Option<i32>,
    /// Id of its site. A dry run needs none.
    site: Option<i64>,
    /// What the host is called. Left out: as the capture calls it.
    #[schema(max_length = 200)]
    host: Option<String>,
    /// When the capture was taken. Left out: as the capture says, and else the time of the import.
    captured_at: Option<DateTime<Utc>>,
    /// Only say what would be understood.
    dry_run: Option<bool>,
    #[schema(value_type = Vec<String>, format = Binary)]
    files: Vec<String>,
}

/// A form that was read.
#[derive(Debug, Default)]
pub(super) struct CaptureForm {
    pub(super) client_id: Option<i32>,
    pub(super) site_id: Option<i64>,
    pub(super) host: Option<String>,
    pub(super) captured_at: Option<DateTime<Utc>>,
    pub(super) is_dry_run: bool,
    pub(super) files: Vec<CaptureFile>,
}

impl CaptureForm {
    pub(super) async fn read(form: Result<Multipart, MultipartRejection>) -> Result<Self, Problem> {
        let mut form = form.map_err(|_| Problem::new(Code::NotForm, "Send the fields and files as a form."))?;
        let mut read = Self::default();
        let mut bytes_left = MAX_BYTES;
        while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
            let name = field.name().unwrap_or_default().to_owned();
            match name.as_str() {
                "files" => {
                    let file = file(field, bytes_left).await?;
                    bytes_left -= file.bytes.len();
                    read.files.push(file);
                    if read.files.len() > MAX_FILES {
                        return Err(too_large());
                    }
                }
                "client" => read.client_id = Some(number("client", &text(field).await?)?),
                "site" => read.site_id = Some(number("site", &text(field).await?)?),
                "host" => read.host = host_name(&text(field).await?)?,
                "captured_at" => read.captured_at = Some(time(&text(field).await?)?),
                "dry_run" => read.is_dry_run = yes_or_no(&text(field).await?)?,
                _ => return Err(Problem::new(Code::BadForm, "The form has a field that this request does not take.")),
            }
        }
        if read.files.is_empty() {
            return Err(Problem::field(Code::BadForm, "files", "holds no file"));
        }
        Ok(read)
    }
}

async fn file(mut field: Field<'_>, bytes_left: usize) -> Result<CaptureFile, Problem> {
    let name = field.file_name().unwrap_or_default().to_owned();
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
        if bytes.len() + chunk.len() > bytes_left {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(CaptureFile { name, bytes })
}

async fn text(field: Field<'_>) -> Result<String, Problem> {
    field.text().await.map_err(|error| broken(&error))
}

fn number<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, Problem> {
    text.trim().parse().map_err(|_| Problem::field(Code::BadForm, field, "is not the id of one"))
}

/// `None`: left empty.
fn host_name(text: &str) -> Result<Option<String>, Problem> {
    let name = text.trim();
    if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(Problem::field(Code::BadForm, "host", "has at most 200 characters and no control characters"));
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

fn time(text: &str) -> Result<DateTime<Utc>, Problem> {
    let time = DateTime::parse_from_rfc3339(text.trim());
    time.map(|time| time.to_utc())
        .map_err(|_| Problem::field(Code::BadForm, "captured_at", "is no time such as 2026-11-22T03:02:11Z"))
}

fn yes_or_no(text: &str) -> Result<bool, Problem> {
    text.trim().parse().map_err(|_| Problem::field(Code::BadForm, "dry_run", "is neither true nor false"))
}

fn too_large() -> Problem {
    Problem::field(Code::CaptureTooLarge, "files", "hold more than one host's output can be")
}

fn broken(error: &MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    Problem::new(Code::BadForm, "The form ended before it was complete, or is not well formed.")
}
