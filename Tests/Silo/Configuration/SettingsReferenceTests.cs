using OrleansMq.Silo.Configuration;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Configuration;

/// <summary>Checks that Silo/README.md lists the settings that the program reads. With OMQ_UPDATE_DOCS=1 this test writes them between the
/// markers: <c>OMQ_UPDATE_DOCS=1 dotnet test Tests/Silo -p:Orleans=false --filter SettingsReferenceTests</c>.</summary>
public sealed class SettingsReferenceTests
{
    private const string Begin = "<!-- broker settings: begin (written by SettingsReferenceTests) -->";
    private const string End = "<!-- broker settings: end -->";

    [Fact]
    public void Every_setting_is_in_the_reference_by_its_three_names() => Assert.All(Settings.All, setting =>
        Assert.Contains(SettingsReference.ToMarkdown().Split('\n'), line => line.StartsWith($"| `{setting.Flag} ", StringComparison.Ordinal)
            && line.Contains($"| `{setting.Variable}` | `{setting.Key}` |", StringComparison.Ordinal)));

    [Fact]
    public void Silo_readme_has_the_reference_of_settings() =>
        ReadmeSection.AssertIs("Silo/README.md", SettingsReference.ToMarkdown(), Begin, End);
}
