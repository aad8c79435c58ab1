using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Engine.Groups;

/// <summary>The coordinator's behaviour as text: <c>Transcripts/*.txt</c>. A change of the protocol is a change of these files. With
/// OMQ_UPDATE_TRANSCRIPTS=1 this test writes them: <c>OMQ_UPDATE_TRANSCRIPTS=1 dotnet test Tests/Engine -p:Orleans=false --filter
/// TranscriptTests</c>. Review the diff before you commit it.</summary>
public sealed class TranscriptTests
{
    private static readonly string Folder = Path.Combine(SourceFolder(), "Transcripts");

    public static TheoryData<string> Names => Transcripts.In(Folder);

    [Theory]
    [MemberData(nameof(Names))]
    public void Coordinator_matches_the_transcript(string transcript) =>
        Transcripts.Compare(Folder, transcript, new GroupScript().Run);

    private static string SourceFolder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
