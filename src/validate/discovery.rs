//! What a patient discovery query must hold (ITI TF-2 §3.55.4.1.2). It is answered with all that is
//! wrong with it, in the message of the profile: a fault is for the transport's trouble.

use crate::model::discovery::{Criteria, DiscoveryQuery, Fault, MOST_VALUES, Refusal};

/// Judges a query that was read, or what reading has found.
///
/// # Errors
/// The refusal to answer with.
pub fn judge(read: Result<DiscoveryQuery, Vec<&'static str>>) -> Result<DiscoveryQuery, Refusal> {
    let refuse = |findings: Vec<String>| Refusal { fault: Fault::Query, problem: None, details: findings };
    let query = read.map_err(|findings| refuse(findings.into_iter().map(str::to_owned).collect()))?;
    let (criteria, mut findings) = (&query.criteria, Vec::new());
    if criteria.ids.is_empty() {
        let missing = [
            (criteria.names.is_empty(), "LivingSubjectName"),
            (criteria.birth_time.is_none(), "LivingSubjectBirthTime"),
        ];
        let missing: Vec<&str> = missing.iter().filter(|(missing, _)| *missing).map(|(_, name)| *name).collect();
        if !missing.is_empty() {
            let missing = missing.join(" and ");
            findings.push(format!(
                "{missing} missing: name and birth time, or a LivingSubjectId, are required (ITI TF-2 §3.55.4.1.2)"
            ));
        }
    }
    if values(criteria) > MOST_VALUES {
        findings.push(format!("more than {MOST_VALUES} values"));
    }
    if findings.is_empty() { Ok(query) } else { Err(refuse(findings)) }
}

fn values(criteria: &Criteria) -> usize {
    let Criteria { ids, names, addresses, telecoms, mothers_maiden_names, birth_places, .. } = criteria;
    ids.len() + names.len() + addresses.len() + telecoms.len() + mothers_maiden_names.len() + birth_places.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::discovery::{BirthTime, InstanceId, MessageHeader, PersonName, Priority};
    use crate::model::ids::PatientId;
    use crate::model::time::Dtm;

    fn query(criteria: Criteria) -> Result<DiscoveryQuery, Vec<&'static str>> {
        Ok(DiscoveryQuery {
            header: MessageHeader::default(),
            query_id: InstanceId::default(),
            requester_domain: None,
            priority: Priority::Immediate,
            respond_to: None,
            keep: None,
            criteria,
        })
    }

    #[test]
    fn a_name_and_a_birth_time_or_an_identifier() {
        let names = vec![PersonName { given: vec!["Ada".into()], ..PersonName::default() }];
        let birth_time = Some(BirthTime::At(Dtm::parse("1970").unwrap()));
        let ids = vec![PatientId::parse("1^^^&2.999.1&ISO").unwrap()];
        let none = Criteria::default();
        for (criteria, missing) in [
            (Criteria { ids: ids.clone(), ..none.clone() }, None),
            (Criteria { names: names.clone(), birth_time: birth_time.clone(), ..none.clone() }, None),
            (Criteria { names: names.clone(), ..none.clone() }, Some("LivingSubjectBirthTime missing")),
            (Criteria { birth_time, ..none.clone() }, Some("LivingSubjectName missing")),
            (none, Some("LivingSubjectName and LivingSubjectBirthTime missing")),
        ] {
            let refusal = judge(query(criteria)).err();
            assert_eq!(refusal.is_some(), missing.is_some());
            if let (Some(refusal), Some(missing)) = (refusal, missing) {
                assert!(refusal.fault == Fault::Query && refusal.details[0].starts_with(missing), "{missing}");
            }
        }
    }

    #[test]
    fn values_at_n_and_n_plus_1() {
        let ids = |n: usize| (0..n).map(|n| PatientId::parse(&format!("{n}^^^&2.999.1&ISO")).unwrap()).collect();
        assert!(judge(query(Criteria { ids: ids(MOST_VALUES), ..Criteria::default() })).is_ok());
        assert!(judge(query(Criteria { ids: ids(MOST_VALUES + 1), ..Criteria::default() })).is_err());
    }

    #[test]
    fn what_reading_found_is_told() {
        let refusal = judge(Err(vec!["one", "two"])).unwrap_err();
        assert_eq!((refusal.fault, refusal.details.len()), (Fault::Query, 2));
    }
}
