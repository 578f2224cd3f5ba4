//! ITI-18 and ITI-51 over more than one page of the store, and by ids of the wrong noun.

use causeway::model::response::QueryResponse;
use causeway::model::stored_query::{AdhocQuery, QueryDefinition, QueryKind};

use super::*;

fn query(kind: QueryKind, slots: &[(&'static str, String)]) -> AdhocQuery {
    AdhocQuery {
        id: QueryDefinition::of(kind).id.into(),
        home: None,
        return_type: Some("ObjectRef".into()),
        slots: slots.iter().map(|(name, value)| Slot::single(*name, value.clone())).collect(),
    }
}

fn told(response: &QueryResponse) -> (usize, Vec<&str>) {
    (response.objects.len(), response.errors.iter().map(|error| error.code.as_str()).collect())
}

/// 620 documents of 31 patients: more than the store gives at once.
async fn filled(results: usize) -> Rules {
    let mut rules = Rules::new();
    let limits = QueryLimits { results, values: 1000 };
    rules.registry = Arc::new(DocumentRegistry::new(
        rules.store.clone(),
        None,
        PatientPolicy::default(),
        rules.clock.clone(),
        limits,
    ));
    for n in 0..31 {
        let patient: &'static str = Box::leak(format!("{n}^^^&2.999.50&ISO").into_boxed_str());
        let mut message = message_of(&format!("s{n}"), patient);
        for entry in 0..20 {
            message = message.entry(&format!("{n}.{entry}"));
        }
        rules.accepts(message).await;
    }
    rules
}

#[tokio::test]
async fn all_patients_are_looked_at_and_no_more_than_the_bound() {
    let approved = format!("('{}')", v::APPROVED);
    let class = "('373942005^^2.16.840.1.113883.6.96')".to_owned();
    let all = || [("$XDSDocumentEntryStatus", approved.clone()), ("$XDSDocumentEntryClassCode", class.clone())];
    let of = |patients: std::ops::Range<usize>| {
        let ids: Vec<String> = patients.map(|n| format!("'{n}^^^&2.999.50&ISO'")).collect();
        let mut slots = all().to_vec();
        slots.push(("$XDSDocumentEntryPatientId", format!("({})", ids.join(","))));
        query(QueryKind::FindDocumentsForMultiplePatients, &slots)
    };
    for (results, of_all) in [(620, Ok(620)), (619, Err(())), (40, Err(()))] {
        let rules = filled(results).await;
        let query = query(QueryKind::FindDocumentsForMultiplePatients, &all());
        let response = rules.registry.multi_patient_query(&query).await.0;
        match of_all {
            Ok(number) => assert_eq!(told(&response), (number, vec![])),
            Err(()) => assert_eq!(told(&response), (0, vec!["XDSTooManyResults"])),
        }
        if results == 40 {
            // A patient who is named twice is asked about once; those who have nothing add nothing.
            let mut twice = of(0..2);
            if let Some(patients) = twice.slots.last_mut() {
                let more = patients.values[0].replace(')', ",'0^^^&2.999.50&ISO','x^^^&2.999.50&ISO')");
                patients.values = vec![more.into()];
            }
            assert_eq!(told(&rules.registry.multi_patient_query(&twice).await.0), (40, vec![]));
            let more = rules.registry.multi_patient_query(&of(0..3)).await.0;
            assert_eq!(told(&more), (0, vec!["XDSTooManyResults"]));
        }
    }
}

/// `$uuid` of GetSubmissionSets is that of a DocumentEntry or Folder: a SubmissionSet is no member of itself.
#[tokio::test]
async fn a_set_is_no_member_of_itself() {
    let rules = Rules::new();
    rules.accepts(message("s").entry("a").folder("f")).await;
    let ask = async |label: &str| {
        let slots = [("$uuid", format!("('{}')", uuid(label)))];
        rules.registry.stored_query(&query(QueryKind::GetSubmissionSets, &slots)).await.0.objects.len()
    };
    assert_eq!([ask("s").await, ask("a").await, ask("f").await], [0, 2, 2]);
}
