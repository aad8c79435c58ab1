using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Crash;

/// <summary>The operation during which the fault is armed.</summary>
internal enum FaultMoment
{
    /// <summary>Appends and all other steps.</summary>
    Appending = 0,
    /// <summary>Just before a compaction.</summary>
    Compacting = 1,
    /// <summary>Just before delete-records.</summary>
    DeletingRecords = 2,
    /// <summary>Just before retention and roll by age.</summary>
    Maintaining = 3,
    /// <summary>Just before the recovery point moves.</summary>
    Checkpointing = 4,
    /// <summary>During a clean close of the broker.</summary>
    Closing = 5,
}

/// <summary>The parameters of one round, drawn from its seed.</summary>
internal sealed record CrashScenario(FaultKind Kind, FaultMoment Moment, int After, TopicConfig Config, bool CrashInRecovery,
    bool CleanStopBeforeFlip)
{
    /// <summary>Draws a scenario. The kinds of faults rotate, so that each has its share.</summary>
    public static CrashScenario Draw(int seed, Random random)
    {
        var kind = (FaultKind)(1 + (int)((uint)seed % 7));
        var config = DrawConfig(random);
        var moment = random.Next(10) switch
        {
            < 5 => FaultMoment.Appending,
            < 7 => config.CleanupCompact ? FaultMoment.Compacting : FaultMoment.DeletingRecords,
            7 => FaultMoment.Maintaining,
            8 => FaultMoment.Checkpointing,
            _ => FaultMoment.Closing,
        };
        var after = random.Next(2) == 0 ? random.Next(4) : random.Next(40);
        return new CrashScenario(kind, moment, after, config, random.Next(5) == 0, random.Next(3) == 0);
    }

    private static TopicConfig DrawConfig(Random random)
    {
        var cleanup = random.Next(10);
        var flush = random.Next(10);
        return TopicConfig.Default with
        {
            CleanupDelete = cleanup is < 5 or >= 8,
            CleanupCompact = cleanup >= 5,
            FlushMessages = flush < 6 ? 1 : long.MaxValue,
            FlushMs = flush is 6 or 7 ? 500 : long.MaxValue,
            SegmentBytes = random.Next(1500, 6000),
            SegmentMs = random.Next(4) == 0 ? 3000 : long.MaxValue,
            IndexIntervalBytes = random.Next(1, 600),
            RetentionBytes = random.Next(4) == 0 ? 8000 : -1,
            RetentionMs = random.Next(4) == 0 ? 4000 : -1,
            FileDeleteDelayMs = random.Next(2) * 500,
            DeleteRetentionMs = random.Next(2) * 300,
            MinCleanableDirtyRatio = random.Next(2) * 0.3,
        };
    }
}
