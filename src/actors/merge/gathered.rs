//! Objects that came through several communities: one in the answer for each (id, home), what all of them said
//! of it, and through whom it came.
//!
//! DECISION(ITI TF-2 §3.18.4.1.3): where two do not say the same of one object, the answer has one of them, and a
//! warning names both communities, the object and what is different. Two objects with one id would be shown
//! as two documents, or the later one in place of the first, and only one of them could be retrieved.

use std::collections::HashMap;

use super::ROUTE_SLOTS;
use super::difference::difference;
use crate::actors::explain::Route;
use crate::model::ids::{EntryUuid, HomeCommunityId};
use crate::model::packed::{PackedKind, PackedObject};
use crate::model::response::{ErrorCode, RegistryError};
use crate::model::rim::{Slot, Text};

/// Whether documents of a community are retrieved through that peer.
pub type Reaches<'r> = &'r dyn Fn(&str, &HomeCommunityId) -> bool;

/// Objects that one warning names; of more it says how many.
const MOST_NAMED: usize = 20;

/// Rows of an explanation's routes; what came in yet other ways makes one more.
const MOST_ROUTES: usize = 200;

/// Whoever was asked, and answered.
pub struct Source {
    /// Its identity.
    pub home: HomeCommunityId,
    /// Its name, for people.
    pub name: String,
}

/// What one community gave for an object.
struct Copy {
    /// Which of the sources.
    by: usize,
    /// Whether the object is that community's own.
    own_word: bool,
    object: PackedObject,
}

/// All copies of one object.
struct Group {
    home: String,
    id: Option<EntryUuid>,
    first: Copy,
    more: Vec<Copy>,
}

/// All objects of all answers, in the order in which they came first.
#[derive(Default)]
pub struct Gathered {
    sources: Vec<Source>,
    groups: Vec<Group>,
    known: HashMap<(EntryUuid, String), usize>,
}

/// What is in the answer, and what is told of it.
pub struct Settled {
    /// Each object once.
    pub objects: Vec<PackedObject>,
    /// Of objects of which not all say the same.
    pub warnings: Vec<RegistryError>,
    /// How many came through whom.
    pub routes: Vec<Route>,
}

/// Objects of which two communities do not say the same: how many, and the first of them in words.
#[derive(Default)]
struct Disagreement {
    objects: usize,
    named: Vec<String>,
}

/// How objects of one community came.
#[derive(PartialEq, Eq)]
struct Way {
    home: String,
    same: Vec<usize>,
    different: Vec<usize>,
    in_answer: bool,
}

impl Gathered {
    /// Takes an object of the source whose turn it is; `home` is whose it is.
    pub fn take(&mut self, home: String, object: PackedObject, own_word: bool) {
        let id = object.uuid();
        let copy = Copy { by: self.sources.len(), own_word, object };
        let known = id.and_then(|id| self.known.get(&(id, home.clone())).copied());
        if let Some(group) = known.and_then(|at| self.groups.get_mut(at)) {
            group.more.push(copy);
            return;
        }
        if let Some(id) = id {
            self.known.insert((id, home.clone()), self.groups.len());
        }
        self.groups.push(Group { home, id, first: copy, more: Vec::new() });
    }

    /// All of a source's objects are taken.
    pub fn next(&mut self, source: Source) {
        self.sources.push(source);
    }

    /// Decides which copy of each object is in the answer.
    pub fn settle(self, own: &HomeCommunityId, in_slots: bool, reaches: Reaches<'_>) -> Settled {
        let Self { sources, groups, .. } = self;
        let mut objects = Vec::with_capacity(groups.len());
        let mut ways = Ways::default();
        let mut disagreements: Vec<((usize, usize), Disagreement)> = Vec::new();
        let mut left_out = vec![0_usize; sources.len()];
        for group in groups {
            let Group { home, id, first, more } = group;
            let is_way = |by: usize| sources.get(by).is_some_and(|source| reaches(&home, &source.home));
            let (shown, others) = choose(first, more, is_way);
            // What others say of our own objects, and we do not, is not so.
            let in_answer = shown.own_word || home != own.as_str();
            let (mut same, mut different) = (vec![shown.by], Vec::new());
            for other in &others {
                let said = if in_answer { differences(&shown.object, &other.object) } else { Vec::new() };
                let list = if said.is_empty() { &mut same } else { &mut different };
                if !list.contains(&other.by) {
                    list.push(other.by);
                }
                if said.is_empty() {
                    continue;
                }
                let pair = (shown.by, other.by);
                let at = disagreements.iter().position(|(known, _)| *known == pair).unwrap_or_else(|| {
                    disagreements.push((pair, Disagreement::default()));
                    disagreements.len() - 1
                });
                let Some((_, disagreement)) = disagreements.get_mut(at) else { continue };
                disagreement.objects += 1;
                if disagreement.named.len() < MOST_NAMED {
                    let id = id.map(|id| id.to_string()).unwrap_or_default();
                    disagreement.named.push(format!("{id} of {home} ({})", said.join(", ")));
                }
            }
            if in_answer {
                let tells = in_slots && (same.len() > 1 || !different.is_empty() || !shown.own_word);
                objects.push(if tells {
                    told_in_slots(shown.object, &sources, &same, &different)
                } else {
                    shown.object
                });
            } else {
                for by in same.iter().chain(&different) {
                    if let Some(left_out) = left_out.get_mut(*by) {
                        *left_out += 1;
                    }
                }
            }
            ways.count(Way { home, same, different, in_answer });
        }
        for (source, ours) in sources.iter().zip(left_out).filter(|(_, ours)| *ours > 0) {
            tracing::warn!(community = %source.home, ours, "what a community says of our own objects is left out");
        }
        let warnings = disagreements.into_iter();
        let warnings =
            warnings.filter_map(|((shown, other), told)| warning(sources.get(shown)?, sources.get(other)?, told));
        Settled { objects, warnings: warnings.collect(), routes: ways.routes(&sources) }
    }
}

/// The copy that is in the answer, and the others: what its own community says; else what the one says through
/// whom its document is retrieved, so that this is the one that was shown; else the first, in configured order, that
/// is more than a reference.
fn choose(first: Copy, more: Vec<Copy>, is_way: impl Fn(usize) -> bool) -> (Copy, Vec<Copy>) {
    if more.is_empty() {
        return (first, more);
    }
    let mut copies: Vec<Copy> = std::iter::once(first).chain(more).collect();
    let whole = |copy: &Copy| copy.object.kind() != PackedKind::ObjectRef;
    let best = copies
        .iter()
        .position(|copy| copy.own_word && whole(copy))
        .or_else(|| copies.iter().position(|copy| copy.own_word))
        .or_else(|| copies.iter().position(|copy| is_way(copy.by) && whole(copy)))
        .or_else(|| copies.iter().position(whole));
    let shown = copies.remove(best.unwrap_or_default());
    (shown, copies)
}

fn differences(shown: &PackedObject, other: &PackedObject) -> Vec<String> {
    // Gateways of our kind pass on what they were given, octet by octet.
    if shown == other {
        return Vec::new();
    }
    match (shown.unpack(), other.unpack()) {
        (Ok(shown), Ok(other)) => difference(&shown, &other),
        _ => vec!["one of them cannot be read".to_owned()],
    }
}

/// That two communities do not say the same, for whoever asked: the answer has one of both.
fn warning(shown: &Source, other: &Source, told: Disagreement) -> Option<RegistryError> {
    let Disagreement { objects, named } = told;
    let more = match objects.saturating_sub(named.len()) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let named = named.join("; ");
    let context = if shown.home == other.home {
        format!(
            "{} ({}) gives {objects} objects twice and does not say the same of them; the answer has what it says \
             first. Then it says: {named}{more}",
            other.name, other.home
        )
    } else {
        format!(
            "{} ({}) does not say the same as {} ({}) of {objects} objects; the answer has what {} says. The other \
             says: {named}{more}",
            other.name, other.home, shown.name, shown.home, shown.name
        )
    };
    Some(RegistryError::new(ErrorCode::XDSRegistryError, context).at(other.home.as_str()).warning())
}

/// The object with a word on through whom it came.
fn told_in_slots(object: PackedObject, sources: &[Source], same: &[usize], different: &[usize]) -> PackedObject {
    let Ok(mut unpacked) = object.unpack() else { return object };
    if object.kind() == PackedKind::ObjectRef {
        return object;
    }
    for (name, by) in ROUTE_SLOTS.into_iter().zip([same, different]) {
        let mut homes: Vec<Text<'_>> =
            by.iter().filter_map(|by| sources.get(*by)).map(|source| source.home.as_str().into()).collect();
        match unpacked.common.slots.iter_mut().find(|slot| slot.name == name) {
            // A gateway before us has told its own.
            Some(slot) => {
                let theirs = std::mem::take(&mut slot.values);
                homes.extend(theirs.into_iter().filter(|value| !by_name(&homes, value)).collect::<Vec<_>>());
                slot.values = homes;
            }
            None if homes.is_empty() => {}
            None => unpacked.common.slots.push(Slot { name: name.into(), slot_type: None, values: homes }),
        }
    }
    PackedObject::pack(&unpacked)
}

fn by_name(homes: &[Text<'_>], value: &str) -> bool {
    homes.iter().any(|home| home == value)
}

/// Objects, counted by the way they came.
#[derive(Default)]
struct Ways {
    rows: Vec<(Way, usize)>,
    /// Those of yet other ways.
    others: usize,
}

impl Ways {
    fn count(&mut self, way: Way) {
        let row = self.rows.iter_mut().find(|(known, _)| *known == way);
        if let Some((_, objects)) = row {
            *objects += 1;
        } else if self.rows.len() < MOST_ROUTES {
            self.rows.push((way, 1));
        } else {
            self.others += 1;
        }
    }

    fn routes(self, sources: &[Source]) -> Vec<Route> {
        let homes = |by: &[usize]| by.iter().filter_map(|by| sources.get(*by)).map(|s| s.home.clone()).collect();
        let rows = self.rows.into_iter().map(|(way, objects)| Route {
            // What else a peer may call a community is its own word.
            home: HomeCommunityId::parse(&way.home).ok(),
            same: homes(&way.same),
            different: homes(&way.different),
            objects,
            in_answer: way.in_answer,
        });
        let others =
            Route { home: None, same: Vec::new(), different: Vec::new(), objects: self.others, in_answer: true };
        rows.chain((self.others > 0).then_some(others)).collect()
    }
}
