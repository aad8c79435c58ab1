"""Prints one line "OUTCOME<tab>NAME<tab>MESSAGE" for each test of a report of dotnet test. A name is that of the test, with its arguments."""
import sys
import xml.etree.ElementTree

SPACE = '{http://microsoft.com/schemas/VisualStudio/TeamTest/2010}'
for result in xml.etree.ElementTree.parse(sys.argv[1]).iter(SPACE + 'UnitTestResult'):
    outcome = {'Passed': 'passed', 'NotExecuted': 'skipped'}.get(result.get('outcome'), 'failure')
    message = result.find(f'{SPACE}Output/{SPACE}ErrorInfo/{SPACE}Message')
    name = result.get('testName').removeprefix('Test.Integration.')
    print(outcome, name, ' '.join(message.text.split()) if message is not None and message.text else '', sep='\t')
