//! The data directory of a daemon, where its commands find it.

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

/// The control file: how to reach a running daemon. Only its user can read the file.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct ControlFile {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    pub(crate) pid: u32,
}

/// The name of a configuration file.
const CONFIG: &str = "config.toml";
/// The name of the file with the secret that locks values.
const SECRET: &str = "secret";
/// The name of the file with contacts.
const CONTACTS: &str = "contacts.json";

/// The files that a daemon creates: private to its user.
#[cfg(unix)]
const FILES: [&str; 7] = ["id", SECRET, CONTACTS, "control.json", "lock", "values", "log"];

/// Returns the configuration file used if the data directory has none: `$XDG_CONFIG_HOME/kad/config.toml` on Linux.
pub(crate) fn user_config() -> Option<PathBuf> {
    Some(etcetera::base_strategy::choose_native_strategy().ok()?.config_dir().join("kad").join(CONFIG))
}

impl DataDir {
    /// Returns the given directory, or the platform's: `$XDG_DATA_HOME/kad` on Linux.
    pub(crate) fn new(given: Option<PathBuf>) -> Result<Self, Failure> {
        let own = || etcetera::base_strategy::choose_native_strategy().ok().map(|user| user.data_dir().join("kad"));
        let none = || Failure::Setting("this user has no home directory: give --data-dir".into());
        given.or_else(own).map(Self).ok_or_else(none)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the file of the disk store.
    pub(crate) fn values(&self) -> PathBuf {
        self.0.join("values")
    }

    /// Returns the log file of a background daemon.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Returns the configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.0.join(CONFIG)
    }

    /// Creates the directory, private to its user. Makes an existing directory and its files private.
    ///
    /// # Errors
    /// [`Failure::Exposed`] if other users may have put files there, [`Failure::File`].
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
        // Volumes of container engines are directories of root with a group.
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

    /// Locks the directory for this process, for as long as the file is open.
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

    /// Returns the node id; creates a random one the first time.
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

    /// Returns the secret that locks published values, so that they can be deleted; creates a random one the first time.
    pub(crate) fn secret(&self) -> Result<[u8; 32], Failure> {
        let path = self.0.join(SECRET);
        match fs::read(&path) {
            Ok(bytes) => bytes.try_into().map_err(|_| {
                let reason = "it must have 32 bytes; values published with the original secret can now only expire";
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

    /// Writes the control file.
    pub(crate) fn write_control(&self, control: &ControlFile) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(control).map_err(|error| Failure::System(error.into()))?;
        self.write("control.json", &text)
    }

    /// Reads the control file.
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

    /// Writes the saved contacts.
    pub(crate) fn write_contacts(&self, text: &[u8]) -> Result<(), Failure> {
        self.write(CONTACTS, text)
    }

    /// Reads the saved contacts, if any.
    pub(crate) fn read_contacts(&self) -> Result<Option<Vec<u8>>, Failure> {
        match fs::read(self.0.join(CONTACTS)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.failure("read", self.0.join(CONTACTS), source)),
        }
    }

    /// Removes the control file.
    pub(crate) fn remove_control(&self) {
        // If that fails, commands report that the daemon of the file does not answer.
        let _ = fs::remove_file(self.0.join("control.json"));
    }

    /// Writes a file atomically, readable by its user only.
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
