namespace OrleansMq.Tests.Shared;

/// <summary>A part of README.md that is written from the table the program works by, between two marker lines.</summary>
public static class ReadmeSection
{
    /// <summary>Fails unless the part between the markers is <paramref name="markdown"/>; with OMQ_UPDATE_DOCS=1 writes it there.</summary>
    public static void AssertIs(string markdown, string beginMarker, string endMarker)
    {
        var path = Path.Combine(RepositoryRoot(), "README.md");
        var readme = File.ReadAllText(path);
        var begin = readme.IndexOf(beginMarker + "\n", StringComparison.Ordinal);
        var end = readme.IndexOf(endMarker, StringComparison.Ordinal);
        Assert.True(begin >= 0 && end > begin,
            $"README.md lacks the lines '{beginMarker}' and '{endMarker}'. Put them where the reference belongs, then run with "
            + "OMQ_UPDATE_DOCS=1.");
        begin += beginMarker.Length + 1;
        var expected = "\n" + markdown + "\n";
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
