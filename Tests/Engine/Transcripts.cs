namespace OrleansMq.Tests.Engine;

/// <summary>Behaviour as text, in files <c>*.txt</c> of a folder: a line that is run is followed by what it did, indented by four spaces;
/// lines with <c>#</c> and empty ones are comments. With OMQ_UPDATE_TRANSCRIPTS=1 a comparison writes the file.</summary>
internal static class Transcripts
{
    /// <summary>Returns the names of a folder's transcripts.</summary>
    public static TheoryData<string> In(string folder) =>
        [.. Directory.GetFiles(folder, "*.txt").Select(path => Path.GetFileNameWithoutExtension(path)).Order(StringComparer.Ordinal)];

    /// <summary>Runs the lines of a transcript, and compares what they do.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="name">The name of the transcript.</param>
    /// <param name="run">Runs a line, and returns what it did.</param>
    public static void Compare(string folder, string name, Func<string, IEnumerable<string>> run)
    {
        var path = Path.Combine(folder, name + ".txt");
        var expected = File.ReadAllText(path);
        var actual = new List<string>();
        foreach (var line in expected.Split('\n').Where(line => !line.StartsWith("    ", StringComparison.Ordinal)))
        {
            actual.Add(line);
            if (line.Length > 0 && !line.StartsWith('#'))
                actual.AddRange(run(line).Select(done => "    " + done));
        }
        var text = string.Join('\n', actual);
        if (Environment.GetEnvironmentVariable("OMQ_UPDATE_TRANSCRIPTS") == "1")
            File.WriteAllText(path, text);
        else
            Assert.Equal(expected, text);
    }
}
