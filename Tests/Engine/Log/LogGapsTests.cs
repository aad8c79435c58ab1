using OrleansMq.Log;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Log;

public sealed class LogGapsTests
{
    private const string Directory = "/p";
    private static readonly TopicConfig Compacted = TopicConfig.Default with { CleanupCompact = true };

    private readonly MemoryFileSystem _files = new();

    public LogGapsTests() => _files.CreateDirectory(Directory);

    [Fact]
    public void Log_is_gapless_until_its_topic_is_compacted()
    {
        var gaps = Open();
        gaps.Follow(TopicConfig.Default);
        Assert.True(gaps.IsGapless);
        gaps.Follow(Compacted);
        Assert.False(gaps.IsGapless);
        gaps.Follow(TopicConfig.Default);
        Assert.False(gaps.IsGapless);
    }

    [Fact]
    public void Noted_gap_survives_a_restart()
    {
        Open().Note(5);
        Assert.Equal(new CompactionState(5, 0, 0), CompactionCheckpoint.Read(_files, Directory));
        Assert.False(Open().IsGapless);
    }

    [Fact]
    public void Gap_is_noted_in_a_compacted_topic_too()
    {
        var gaps = Open();
        gaps.Follow(Compacted);
        Assert.Null(CompactionCheckpoint.Read(_files, Directory));
        gaps.Note(5);
        Assert.NotNull(CompactionCheckpoint.Read(_files, Directory));
    }

    [Fact]
    public void Progress_of_a_compaction_is_not_overwritten()
    {
        CompactionCheckpoint.Write(_files, Directory, new CompactionState(30, 40, 20));
        Open().Note(5);
        Assert.Equal(new CompactionState(30, 40, 20), CompactionCheckpoint.Read(_files, Directory));
    }

    private LogGaps Open()
    {
        var compaction = new CompactionProgress(_files, Directory);
        compaction.Load();
        var gaps = new LogGaps(compaction);
        gaps.Load();
        return gaps;
    }
}
