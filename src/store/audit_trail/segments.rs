//! The folder of a trail, and the files in it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::AuditError;

pub(super) fn make_folder(dir: &Path) -> Result<(), AuditError> {
    let made: Vec<&Path> =
        dir.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
    if made.is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| AuditError::io("create", dir, &error))?;
    made.into_iter().try_for_each(|folder| match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    })
}

/// Makes new names in a folder durable.
pub(super) fn sync_folder(dir: &Path) -> Result<(), AuditError> {
    let synced = File::open(dir).and_then(|folder| folder.sync_all());
    synced.map_err(|error| AuditError::io("sync", dir, &error))
}

pub(super) fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("audit-{first:020}.seg"))
}

/// First sequence and path of each segment, in order.
pub(super) fn list_segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>, AuditError> {
    let failed = |error: io::Error| AuditError::io("list", dir, &error);
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let first = name.to_str().and_then(|name| name.strip_prefix("audit-")?.strip_suffix(".seg")?.parse().ok());
        if let Some(first) = first {
            segments.push((first, entry.path()));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// The file of a segment, as far as the writer needs it; tests put a failing disk behind it.
pub(super) trait SegmentFile: Send {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    fn set_len(&self, length: u64) -> io::Result<()>;
}

impl SegmentFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }
}

/// Makes the file of a new one.
pub(super) type CreateFile = Box<dyn Fn(&Path) -> io::Result<Box<dyn SegmentFile>> + Send>;

pub(super) fn create_file(path: &Path) -> io::Result<Box<dyn SegmentFile>> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(Box::new(file))
}

/// One that is written to.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn SegmentFile>,
    pub(super) length: u64,
}
