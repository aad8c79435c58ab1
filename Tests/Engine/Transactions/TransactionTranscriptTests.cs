using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Engine.Transactions;

/// <summary>The behaviour of a transactional id's coordinator as text: <c>Transcripts/*.txt</c>. With OMQ_UPDATE_TRANSCRIPTS=1 this test
/// writes them; review the diff before you commit it.</summary>
public sealed class TransactionTranscriptTests
{
    private static readonly string Folder = Path.Combine(SourceFolder(), "Transcripts");

    public static TheoryData<string> Names => Transcripts.In(Folder);

    [Theory]
    [MemberData(nameof(Names))]
    public void Coordinator_matches_the_transcript(string transcript) =>
        Transcripts.Compare(Folder, transcript, new TransactionScript().Run);

    private static string SourceFolder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
