using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>The cursor's behaviour as text: <c>Transcripts/*.txt</c>. With OMQ_UPDATE_TRANSCRIPTS=1 this test writes them; review the
/// diff before you commit it.</summary>
public sealed class CursorTranscriptTests
{
    private static readonly string Folder = Path.Combine(SourceFolder(), "Transcripts");

    public static TheoryData<string> Transcripts =>
        [.. Directory.GetFiles(Folder, "*.txt").Select(path => Path.GetFileNameWithoutExtension(path)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Transcripts))]
    public void Cursor_matches_the_transcript(string transcript)
    {
        var path = Path.Combine(Folder, transcript + ".txt");
        var expected = File.ReadAllText(path);
        var script = new CursorScript();
        var actual = new List<string>();
        foreach (var line in expected.Split('\n').Where(line => !line.StartsWith("    ", StringComparison.Ordinal)))
        {
            actual.Add(line);
            if (line.Length > 0 && !line.StartsWith('#'))
                actual.AddRange(script.Run(line).Select(done => "    " + done));
        }
        var text = string.Join('\n', actual);
        if (Environment.GetEnvironmentVariable("OMQ_UPDATE_TRANSCRIPTS") == "1")
            File.WriteAllText(path, text);
        else
            Assert.Equal(expected, text);
    }

    private static string SourceFolder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
