using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Topics;

/// <summary>
/// The reference in README.md is what the broker checks by. With OMQ_UPDATE_DOCS=1 this test writes it between the markers:
/// <c>OMQ_UPDATE_DOCS=1 dotnet test Tests/Engine -p:Orleans=false --filter TopicConfigReferenceTests</c>.
/// </summary>
public sealed class TopicConfigReferenceTests
{
    private const string Begin = "<!-- topic configuration: begin (written by TopicConfigReferenceTests) -->\n";
    private const string End = "<!-- topic configuration: end -->";

    [SkippableFact]
    public void The_readme_has_the_reference_of_topic_configuration()
    {
        var path = Path.Combine(RepositoryRoot(), "README.md");
        Skip.IfNot(File.Exists(path), "There is no README.md beside the solution.");
        var readme = File.ReadAllText(path);
        var begin = readme.IndexOf(Begin, StringComparison.Ordinal);
        var end = readme.IndexOf(End, StringComparison.Ordinal);
        Assert.True(begin >= 0 && end > begin, $"README.md lacks the lines '{Begin.Trim()}' and '{End}'. Put them where the reference belongs, then run with OMQ_UPDATE_DOCS=1.");
        begin += Begin.Length;
        var expected = "\n" + TopicConfigReference.ToMarkdown() + "\n";
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
