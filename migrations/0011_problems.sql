-- What brought a finding about: findings of one cause are one problem.

alter table finding add column problem text not null default '';
alter table finding alter column problem drop default;
comment on column finding.problem is 'The same for all findings that one cause brings about: bad-update/<entry>, taker/<id>, holder/<name>.';
create index finding_by_problem on finding (client_id, problem) where state = 'open';
