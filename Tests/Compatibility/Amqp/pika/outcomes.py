"""Prints one line "OUTCOME<tab>NAME<tab>MESSAGE" for each test of a JUnit report. A name is MODULE::CLASS::TEST."""
import sys
import xml.etree.ElementTree

for case in xml.etree.ElementTree.parse(sys.argv[1]).iter('testcase'):
    outcome, message = 'passed', ''
    for kind in ('failure', 'error', 'skipped'):
        found = case.find(kind)
        if found is not None:
            outcome, message = kind, found.get('message', '')
    name = '::'.join(case.get('classname', '').split('.')[2:] + [case.get('name', '')])
    print(outcome, name, ' '.join(message.split()), sep='\t')
