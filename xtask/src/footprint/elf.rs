//! The memory that a program takes, and whose code it is, from its ELF file.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use object::elf::{SHF_ALLOC, SHF_WRITE, SHT_NOBITS};
use object::read::elf::{ElfFile32, FileHeader, SectionHeader};
use object::{Endianness, Object, ObjectSymbol, SymbolSection};

/// Crates of this project that a board runs.
const KAD: [&str; 5] = ["kad_wire", "kad_core", "kad_store", "kad_upkeep", "kad_embassy"];
/// The network stack.
const NETWORK: [&str; 3] = ["smoltcp", "embassy_net", "embassy_net_driver"];
/// Whose functions only hold those of others: what they are made for is what they are.
const SHELLS: [&str; 1] = ["footprint"];

/// Bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Sizes {
    /// Code, constants, and the first values of variables.
    pub(crate) flash: u64,
    /// Of these, functions and constants of kad's crates.
    pub(crate) kad: u64,
    /// And of the network stack.
    pub(crate) network: u64,
    /// Variables, without the stack.
    pub(crate) ram: u64,
}

impl Sizes {
    pub(crate) fn of(path: &Path) -> Result<Self, String> {
        let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let file = fs::read(path).map_err(|error| fail(&error))?;
        let file = ElfFile32::<Endianness>::parse(&*file).map_err(|error| fail(&error))?;
        Ok(Self::of_file(&file))
    }

    fn of_file(file: &ElfFile32<'_, Endianness>) -> Self {
        let (mut sizes, mut flash_sections) = (Self::default(), HashSet::new());
        let endian = file.elf_header().endian().unwrap_or(Endianness::Little);
        for (index, header) in file.elf_section_table().enumerate() {
            let (flags, len) = (header.sh_flags(endian), header.sh_size(endian));
            if flags & SHF_ALLOC != SHF_ALLOC {
                continue;
            }
            // Variables whose first values are not zero are in both.
            if flags & SHF_WRITE == SHF_WRITE {
                sizes.ram += u64::from(len);
            }
            if header.sh_type(endian) != SHT_NOBITS {
                sizes.flash += u64::from(len);
                flash_sections.insert(index);
            }
        }
        let mut seen = HashSet::new();
        for symbol in file.symbols() {
            let SymbolSection::Section(section) = symbol.section() else { continue };
            // Functions with the same code are one, with several names.
            if !flash_sections.contains(&section) || symbol.size() == 0 || !seen.insert(symbol.address()) {
                continue;
            }
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name().unwrap_or_default()));
            match owner(&name) {
                Some(owner) if KAD.contains(&owner) => sizes.kad += symbol.size(),
                Some(owner) if NETWORK.contains(&owner) => sizes.network += symbol.size(),
                _ => {}
            }
        }
        sizes
    }
}

/// The crate that a function belongs to: the first of its name.
fn owner(name: &str) -> Option<&str> {
    let words = name.split(|character: char| !character.is_alphanumeric() && character != '_' && character != ':');
    let mut crates = words.filter_map(|word| Some(word.split_once("::")?.0)).filter(|name| !name.is_empty());
    crates.find(|name| !SHELLS.contains(name))
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn functions_belong_to_the_crate_that_their_names_begin_with() {
        let names = [
            ("<kad_core::node::Node>::poll_transmit", Some("kad_core")),
            ("<kad_store::fixed::FixedStore as kad_store::Store>::find", Some("kad_store")),
            ("kad_upkeep::serve::receive::<dyn kad_store::Store, core::fmt::Error>", Some("kad_upkeep")),
            ("footprint::poll::<<embassy_net::Runner<footprint::Device>>::run::{closure#0}>", Some("embassy_net")),
            ("<&dyn core::fmt::Debug>::fmt", Some("core")),
            ("memcpy", None),
        ];
        for (name, crate_name) in names {
            assert_eq!(owner(name), crate_name, "{name}");
        }
    }
}
