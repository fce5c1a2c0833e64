use std::collections::BTreeMap;

use super::leaf::{self, Placed};
use super::place::{Prefix, place};
use super::*;
use crate::limits::Limits;
use crate::object::Object;
use crate::refused::Refused;
use crate::version::{Version, Zone};

fn zone(name: &str) -> Placed {
    Placed::new(Zone {
        name: name.into(),
        version: Version {
            number: 1,
            document: format!("name = \"{name}\"\n"),
            files: Vec::new(),
        },
    })
}

/// Zones whose names' hashes begin with a bit, in order.
fn zones(right: bool, count: usize) -> Vec<Placed> {
    let mut zones: Vec<Placed> = (0..)
        .map(|number| zone(&format!("zone-{number}.test")))
        .filter(|zone| Prefix::ROOT.is_right(&zone.place) == right)
        .take(count)
        .collect();
    zones.sort_by_key(|zone| zone.place);
    zones
}

fn linked(objects: &mut BTreeMap<Hash, Object>, zones: &[Placed]) -> Part {
    let object = leaf::pack(zones, &Limits::default()).unwrap();
    let link = Link {
        object: object.name(),
        kind: Kind::Leaf,
        size: leaf::size(zones),
    };
    objects.insert(object.name(), object);
    Part::Link(link)
}

/// A root over two leaves that somebody has made by hand, read as a reader does.
fn read_forged(left: &[Placed], right: &[Placed]) -> Result<usize, Refused> {
    let mut objects = BTreeMap::new();
    let left = linked(&mut objects, left);
    let right = linked(&mut objects, right);
    walk_forged(&objects, Part::Split(Box::new((left, right))))
}

fn walk_forged(objects: &BTreeMap<Hash, Object>, top: Part) -> Result<usize, Refused> {
    let object = Root::new(None, top).pack()?;
    let root = Root::open(&object.name(), object.packed())?;
    let mut diff = Diff::new(&Root::empty(), &root, &Limits::default());
    let mut told = 0;
    loop {
        match diff.step()? {
            Step::Want(wanted) => {
                for name in wanted {
                    diff.give(&name, objects[&name].packed())?;
                }
            }
            Step::Changes(changes) => told += changes.len(),
            Step::Done => return Ok(told),
        }
    }
}

fn why(refused: Result<usize, Refused>) -> String {
    match refused {
        Err(Refused::Malformed { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tree_made_by_hand_is_read_if_it_is_right() {
    assert_eq!(read_forged(&zones(false, 40), &zones(true, 40)), Ok(80));
}

#[test]
fn a_zone_stands_in_its_own_leaf_and_in_no_other() {
    let (left, right) = (zones(false, 40), zones(true, 40));
    // A zone of the right half in the left leaf, alone and beside itself in the right one.
    let mut strayed = left.clone();
    strayed.push(right[3].clone());
    assert!(why(read_forged(&strayed, &right)).contains("does not belong"));
    let mut without = right.clone();
    without.remove(3);
    assert!(why(read_forged(&strayed, &without)).contains("does not belong"));
    // The same leaf twice.
    assert!(why(read_forged(&left, &left)).contains("does not belong"));
    // Twice in its own leaf, in the same and in another version.
    let mut twice = left.clone();
    twice.insert(5, left[5].clone());
    assert!(why(read_forged(&twice, &right)).contains("twice"));
    twice[5].zone.version.number = 2;
    assert!(why(read_forged(&twice, &right)).contains("twice"));
    let mut swapped = left.clone();
    swapped.swap(1, 2);
    assert!(why(read_forged(&swapped, &right)).contains("out of order"));
}

#[test]
fn sizes_are_held_to() {
    let mut objects = BTreeMap::new();
    let (left, right) = (zones(false, 40), zones(true, 40));
    let good = linked(&mut objects, &left);
    let Part::Link(mut more) = linked(&mut objects, &right) else {
        panic!("a link");
    };
    more.size.zones += 1;
    let top = Part::Split(Box::new((good.clone(), Part::Link(more))));
    assert!(why(walk_forged(&objects, top)).contains("more or less"));
    more.size.zones = 65;
    let top = Part::Split(Box::new((good.clone(), Part::Link(more))));
    assert!(why(walk_forged(&objects, top)).contains("too large"));
    // Two that would fit in one leaf.
    let few = linked(&mut objects, &right[..10]);
    let top = Part::Split(Box::new((good.clone(), few)));
    assert!(why(walk_forged(&objects, top)).contains("fit in one leaf"));
    // A leaf in the place of a node.
    more.size.zones = 100;
    more.kind = Kind::Node;
    let top = Part::Split(Box::new((good, Part::Link(more))));
    assert!(why(walk_forged(&objects, top)).contains("out of place"));
}

#[test]
fn a_leaf_of_any_content_does_no_harm_and_has_one_spelling() {
    let limits = Limits::default();
    let zones = zones(false, 5);
    let object = leaf::pack(&zones, &limits).unwrap();
    let good = Object::open(&object.name(), object.packed(), 1 << 20).unwrap();
    let link = Link {
        object: object.name(),
        kind: Kind::Leaf,
        size: leaf::size(&zones),
    };
    let mut taken = 0;
    for at in 0..good.len() {
        for flip in 1..=255 {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            if let Ok(read) = leaf::read(&bytes, &link, Prefix::ROOT, &limits) {
                taken += 1;
                let again = leaf::pack(&read, &limits).unwrap();
                assert_eq!(again.name(), Hash::of(&bytes));
                assert!(read.iter().all(|zone| zone.place == place(&zone.zone.name)));
            }
        }
        assert!(leaf::read(&good[..at], &link, Prefix::ROOT, &limits).is_err());
    }
    assert!(taken > 0, "documents are anything");
}

#[test]
fn a_node_of_any_content_does_no_harm_and_has_one_spelling() {
    let mut objects = BTreeMap::new();
    let left = linked(&mut objects, &zones(false, 40));
    let right = linked(&mut objects, &zones(true, 40));
    let part = Part::Split(Box::new((left, right)));
    let object = node::pack(&part).unwrap();
    let good = Object::open(&object.name(), object.packed(), 1 << 20).unwrap();
    let link = Link {
        object: object.name(),
        kind: Kind::Node,
        size: part.size(),
    };
    assert_eq!(node::read(&good, &link), Ok(part));
    for at in 0..good.len() {
        for flip in 1..=255 {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            if let Ok(read) = node::read(&bytes, &link) {
                assert_eq!(node::pack(&read).unwrap().name(), Hash::of(&bytes));
            }
        }
        assert!(node::read(&good[..at], &link).is_err());
    }
    assert!(node::read(&[&good[..], b"\0"].concat(), &link).is_err());
}

/// Names that collide in many bits, which anybody can find, make a narrow deep place and nothing else.
#[test]
fn names_that_collide_make_no_large_leaf() {
    // All of one 12-bit prefix among half a million names.
    let mut colliding: Vec<Placed> = (0..500_000)
        .map(|number| format!("z{number}"))
        .filter(|name| {
            let Hash(hash) = place(name);
            hash[0] == 0xa5 && hash[1] >> 4 == 3
        })
        .map(|name| zone(&name))
        .collect();
    colliding.sort_by_key(|zone| zone.place);
    assert!(colliding.len() > 90);
    let mut edits = Edits::default();
    for placed in &colliding {
        let version = placed.zone.version.clone();
        edits.zones.insert(placed.zone.name.clone(), Some(version));
    }
    let nothing = |_: &Hash| Err::<Vec<u8>, _>("nothing is stored");
    let made = update(&Root::empty(), edits, &Limits::default(), nothing).unwrap();
    let objects: BTreeMap<Hash, Object> = made
        .objects
        .into_iter()
        .map(|object| (object.name(), object))
        .collect();
    // Root, node, two or three leaves.
    assert!((4..=5).contains(&objects.len()), "{}", objects.len());
    assert_eq!(
        walk_forged(&objects, made.root.top().clone()),
        Ok(colliding.len())
    );
}
