//! Which path of a description a request's is.

use seawall_model::{Fuel, Spent};

use super::{OpenApi, Route, Segment};

/// Units for a route that is compared, and for each of its segments.
const ROUTE: u64 = 30;

impl Route {
    /// The segments of a path such as `/users/{id}`. None if it is none.
    pub(super) fn segments(path: &str) -> Option<Vec<Segment>> {
        let rest = path.strip_prefix('/')?;
        rest.split('/').map(Segment::read).collect()
    }

    /// How many segments are fixed.
    pub(super) fn fixed(&self) -> usize {
        let is_fixed = |segment: &&Segment| matches!(segment, Segment::Is(_));
        self.segments.iter().filter(is_fixed).count()
    }

    /// The values of the parameters of a path, if it is one of this route.
    fn values<'p>(&self, path: &[&'p str]) -> Option<Vec<(&str, &'p str)>> {
        let mut values = Vec::new();
        for (segment, text) in self.segments.iter().zip(path) {
            match segment {
                Segment::Is(is) => (is == text).then_some(())?,
                Segment::Open {
                    before,
                    name,
                    behind,
                } => {
                    let value = text.strip_prefix(before.as_str())?;
                    let value = value.strip_suffix(behind.as_str())?;
                    (!value.is_empty()).then_some(())?;
                    values.push((name.as_str(), value));
                }
            }
        }
        Some(values)
    }
}

impl Segment {
    fn read(text: &str) -> Option<Self> {
        let Some((before, rest)) = text.split_once('{') else {
            return (!text.contains('}')).then(|| Self::Is(text.to_owned()));
        };
        let (name, behind) = rest.split_once('}')?;
        (!behind.contains(['{', '}'])).then(|| Self::Open {
            before: before.to_owned(),
            name: name.to_owned(),
            behind: behind.to_owned(),
        })
    }
}

/// A route by its place, with the values of its parameters.
pub(super) type Found<'a, 'p> = (usize, Vec<(&'a str, &'p str)>);

impl OpenApi {
    /// The route of a path, with the values of its parameters.
    pub(super) fn route<'p>(
        &self,
        path: &'p str,
        fuel: &mut Fuel,
    ) -> Result<Option<Found<'_, 'p>>, Spent> {
        fuel.spend(ROUTE + path.len() as u64)?;
        let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        for place in self.by_length.get(&segments.len()).into_iter().flatten() {
            let Some(route) = self.routes.get(*place) else {
                continue;
            };
            // Most are other ones by their first segment.
            let is_other = match (route.segments.first(), segments.first()) {
                (Some(Segment::Is(is)), Some(text)) => is != text,
                _ => false,
            };
            let all = segments.len() as u64;
            fuel.spend(ROUTE / 3 + if is_other { 0 } else { ROUTE * all })?;
            if !is_other && let Some(values) = route.values(&segments) {
                return Ok(Some((*place, values)));
            }
        }
        Ok(None)
    }
}
