using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Shared;

/// <summary>A part of a Markdown document, between two marker lines, generated from the code it describes.</summary>
public static class ReadmeSection
{
    /// <summary>Fails unless the part between the markers is <paramref name="markdown"/>. With OMQ_UPDATE_DOCS=1 it is written
    /// instead.</summary>
    /// <param name="document">The document's path from the repository's root, such as <c>Silo/README.md</c>.</param>
    /// <param name="markdown">The expected part.</param>
    /// <param name="beginMarker">The line before it.</param>
    /// <param name="endMarker">The line after it.</param>
    public static void AssertIs(string document, string markdown, string beginMarker, string endMarker)
    {
        var path = Path.Combine(RepositoryRoot(), document);
        var text = File.ReadAllText(path);
        var begin = text.IndexOf(beginMarker + "\n", StringComparison.Ordinal);
        var end = text.IndexOf(endMarker, StringComparison.Ordinal);
        Assert.True(begin >= 0 && end > begin,
            $"{document} lacks the lines '{beginMarker}' and '{endMarker}'. "
                + "Put them where the part belongs, then run with OMQ_UPDATE_DOCS=1.");
        begin += beginMarker.Length + 1;
        var expected = "\n" + markdown + "\n";
        if (Environment.GetEnvironmentVariable("OMQ_UPDATE_DOCS") == "1")
            File.WriteAllText(path, text[..begin] + expected + text[end..]);
        else
            Assert.Equal(expected, text[begin..end]);
    }

    /// <summary>Returns the lines of a source file between the comments <c>// name</c> and <c>// end of name</c>, without their
    /// indentation.</summary>
    /// <param name="name">The name.</param>
    /// <param name="path">The file; the caller's by default.</param>
    public static string Code(string name, [CallerFilePath] string path = "")
    {
        var lines = File.ReadAllLines(path);
        var begin = Array.FindIndex(lines, line => line.Trim() == $"// {name}") + 1;
        var end = Array.FindIndex(lines, line => line.Trim() == $"// end of {name}");
        Assert.True(begin > 0 && end > begin, $"{path} has no lines between '// {name}' and '// end of {name}'.");
        var indent = lines[begin].Length - lines[begin].TrimStart().Length;
        return string.Join('\n', lines[begin..end].Select(line => line.Length > indent ? line[indent..] : ""));
    }

    /// <summary>The folder above the tests that holds the solution.</summary>
    public static string RepositoryRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "OrleansMq.sln")))
            directory = directory.Parent ?? throw new InvalidOperationException("The tests do not run below the repository.");
        return directory.FullName;
    }
}
