using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Topics;

/// <summary>Checks that the reference in Silo/README.md matches the broker's table. With OMQ_UPDATE_DOCS=1 this test writes it between the
/// markers: <c>OMQ_UPDATE_DOCS=1 dotnet test Tests/Engine -p:Orleans=false --filter TopicConfigReferenceTests</c>.</summary>
public sealed class TopicConfigReferenceTests
{
    private const string Begin = "<!-- topic configuration: begin (written by TopicConfigReferenceTests) -->";
    private const string End = "<!-- topic configuration: end -->";

    [Fact]
    public void Silo_readme_has_the_reference_of_topic_configuration() =>
        ReadmeSection.AssertIs("Silo/README.md", TopicConfigReference.ToMarkdown(), Begin, End);
}
