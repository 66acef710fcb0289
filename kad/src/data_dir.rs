//! What a daemon keeps on disk, and how its commands find it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use kad_tokio::NodeId;
use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// A daemon's directory.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

/// How a running daemon is reached. Only its user can read the file.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct ControlFile {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    pub(crate) pid: u32,
}

/// The name of a configuration file.
const CONFIG: &str = "config.toml";
/// The name of the file with what locks values.
const SECRET: &str = "secret";
/// The name of the file with contacts.
const CONTACTS: &str = "contacts.json";

/// The files that a daemon makes: they are nobody else's business.
#[cfg(unix)]
const FILES: [&str; 7] = ["id", SECRET, CONTACTS, "control.json", "lock", "values", "log"];

/// Where settings are looked for if the data directory has none: `$XDG_CONFIG_HOME/kad/config.toml` on Linux.
pub(crate) fn user_config() -> Option<PathBuf> {
    Some(etcetera::base_strategy::choose_native_strategy().ok()?.config_dir().join("kad").join(CONFIG))
}

impl DataDir {
    /// The given directory, or the platform's own: `$XDG_DATA_HOME/kad` on Linux, and what is usual elsewhere.
    pub(crate) fn new(given: Option<PathBuf>) -> Result<Self, Failure> {
        let own = || etcetera::base_strategy::choose_native_strategy().ok().map(|user| user.data_dir().join("kad"));
        let none = || Failure::Setting("this user has no home directory: name one with --data-dir".into());
        given.or_else(own).map(Self).ok_or_else(none)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where values are kept on disk.
    pub(crate) fn values(&self) -> PathBuf {
        self.0.join("values")
    }

    /// Where the log of a daemon in the background goes.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Where settings are looked for.
    pub(crate) fn config(&self) -> PathBuf {
        self.0.join(CONFIG)
    }

    /// Creates the directory, for its user only. One that is there already is closed to others, and so are the files in it.
    ///
    /// # Errors
    /// [`Failure::Exposed`] if others may have put files of theirs there, [`Failure::File`].
    pub(crate) fn create(&self) -> Result<(), Failure> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.0).map_err(|source| self.failure("create", self.0.clone(), source))?;
        #[cfg(unix)]
        self.close_to_others()?;
        Ok(())
    }

    #[cfg(unix)]
    fn close_to_others(&self) -> Result<(), Failure> {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let metadata = fs::metadata(&self.0).map_err(|source| self.failure("read", self.0.clone(), source))?;
        let user = rustix::process::geteuid();
        let is_ours = user.is_root() || metadata.uid() == user.as_raw();
        // A directory of root's may be given to a group: volumes of container engines are.
        if metadata.mode() & 0o002 != 0 || !(is_ours || metadata.uid() == 0) {
            return Err(Failure::Exposed(self.0.clone()));
        }
        if is_ours && metadata.mode() & 0o077 != 0 {
            let mode = fs::Permissions::from_mode(metadata.mode() & !0o077);
            fs::set_permissions(&self.0, mode).map_err(|source| self.failure("close", self.0.clone(), source))?;
        }
        for name in FILES {
            let path = self.0.join(name);
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_file() && metadata.mode() & 0o077 != 0 {
                let mode = fs::Permissions::from_mode(metadata.mode() & !0o077);
                fs::set_permissions(&path, mode).map_err(|source| self.failure("close", path, source))?;
            }
        }
        Ok(())
    }

    /// Takes the directory for this process, for as long as the file is open.
    pub(crate) fn lock(&self) -> Result<File, Failure> {
        let path = self.0.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|source| self.failure("open", path.clone(), source))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(Failure::AlreadyRunning(self.0.clone())),
            Err(fs::TryLockError::Error(source)) => Err(self.failure("lock", path, source)),
        }
    }

    /// The identity that is kept here; a new random one the first time.
    pub(crate) fn identity(&self) -> Result<NodeId, Failure> {
        let path = self.0.join("id");
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|reason| {
                let source =
                    io::Error::new(io::ErrorKind::InvalidData, format!("{reason}; delete it to get a new one"));
                self.failure("use", path, source)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes).map_err(|error| Failure::System(error.into()))?;
                let id = NodeId::from_bytes(bytes);
                self.write("id", format!("{id}\n").as_bytes())?;
                Ok(id)
            }
            Err(source) => Err(self.failure("read", path, source)),
        }
    }

    /// The secret that locks what is published here, so that it can be deleted; a new random one the first time.
    pub(crate) fn secret(&self) -> Result<[u8; 32], Failure> {
        let path = self.0.join(SECRET);
        match fs::read(&path) {
            Ok(bytes) => bytes.try_into().map_err(|_| {
                let reason = "it should have 32 bytes; without it, what was published with it can only lapse";
                self.failure("use", path, io::Error::new(io::ErrorKind::InvalidData, reason))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes).map_err(|error| Failure::System(error.into()))?;
                self.write(SECRET, &bytes)?;
                Ok(bytes)
            }
            Err(source) => Err(self.failure("read", path, source)),
        }
    }

    /// Says how the daemon is reached.
    pub(crate) fn write_control(&self, control: &ControlFile) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(control).map_err(|error| Failure::System(error.into()))?;
        self.write("control.json", &text)
    }

    /// How the daemon is reached.
    pub(crate) fn read_control(&self) -> Result<ControlFile, Failure> {
        let path = self.0.join("control.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::NoDaemon { directory: self.0.clone(), is_needed: false });
            }
            Err(source) => return Err(self.failure("read", path, source)),
        };
        serde_json::from_slice(&text).map_err(|error| self.failure("use", path, error.into()))
    }

    /// Keeps whom the node knows.
    pub(crate) fn write_contacts(&self, text: &[u8]) -> Result<(), Failure> {
        self.write(CONTACTS, text)
    }

    /// Whom the node knew, if that was kept.
    pub(crate) fn read_contacts(&self) -> Result<Option<Vec<u8>>, Failure> {
        match fs::read(self.0.join(CONTACTS)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.failure("read", self.0.join(CONTACTS), source)),
        }
    }

    /// The daemon ends.
    pub(crate) fn remove_control(&self) {
        // If that fails, commands find a file whose daemon does not answer, and say so.
        let _ = fs::remove_file(self.0.join("control.json"));
    }

    /// Writes a file whole or not at all, readable by its user only.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.0.join(name);
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| self.failure("write", path.clone(), source))
    }

    #[expect(clippy::unused_self, reason = "reads as part of the directory")]
    fn failure(&self, what: &'static str, path: PathBuf, source: io::Error) -> Failure {
        Failure::File { what, path, source }
    }
}
