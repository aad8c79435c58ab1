using OrleansMq.Silo.Configuration;

namespace OrleansMq.Tests.Silo.Configuration;

/// <summary>
/// The settings in README.md are those the program reads. With OMQ_UPDATE_DOCS=1 this test writes them between the markers:
/// <c>OMQ_UPDATE_DOCS=1 dotnet test Tests/Silo -p:Orleans=false --filter SettingsReferenceTests</c>.
/// </summary>
public sealed class SettingsReferenceTests
{
    private const string Begin = "<!-- broker settings: begin (written by SettingsReferenceTests) -->\n";
    private const string End = "<!-- broker settings: end -->";

    [Fact]
    public void Every_setting_is_in_the_reference_by_its_three_names() => Assert.All(Settings.All, setting =>
        Assert.Contains(SettingsReference.ToMarkdown().Split('\n'), line => line.StartsWith($"| `{setting.Flag} ", StringComparison.Ordinal)
            && line.Contains($"| `{setting.Variable}` | `{setting.Key}` |", StringComparison.Ordinal)));

    [SkippableFact]
    public void The_readme_has_the_reference_of_settings()
    {
        var path = Path.Combine(RepositoryRoot(), "README.md");
        Skip.IfNot(File.Exists(path), "There is no README.md beside the solution.");
        var readme = File.ReadAllText(path);
        var begin = readme.IndexOf(Begin, StringComparison.Ordinal);
        var end = readme.IndexOf(End, StringComparison.Ordinal);
        Assert.True(begin >= 0 && end > begin, $"README.md lacks the lines '{Begin.Trim()}' and '{End}'. Put them where the settings belong, then run with OMQ_UPDATE_DOCS=1.");
        begin += Begin.Length;
        var expected = "\n" + SettingsReference.ToMarkdown() + "\n";
        if (Environment.GetEnvironmentVariable("OMQ_UPDATE_DOCS") == "1")
            File.WriteAllText(path, readme[..begin] + expected + readme[end..]);
        else
            Assert.Equal(expected, readme[begin..end]);
    }

    private static string RepositoryRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "OrleansMq.sln")))
            directory = directory.Parent ?? throw new InvalidOperationException("The tests do not run below the repository.");
        return directory.FullName;
    }
}
