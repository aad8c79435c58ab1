using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>Group coordinators over the standalone broker's file store on the machine's disk: commits a second in one group and over many,
/// and the duration of a rebalance from the join of the last member until all members have their partitions.</summary>
internal static class GroupBenchmarks
{
    public const string Topic = "t";

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var seconds = arguments.Number("--seconds", 5);
        var rounds = arguments.Number("--rounds", 3);
        var groups = arguments.Number("--groups", 1000);
        var members = arguments.Number("--members", 100);
        var partitions = arguments.Number("--partitions", 1000);
        var isCommitting = seconds > 0;
        var directory = arguments.Directory("groups");
        try
        {
            Console.WriteLine($"{Environment.ProcessorCount} processors, {rounds} rounds of {seconds} s, in {directory}");
            foreach (var (label, count, committers, offsets) in ((string, int, int, int)[])[("one group, 1 committer of 1 offset", 1, 1, 1),
                ("one group, 100 committers of 1 offset", 1, 100, 1), ("one group, 100 committers of 10 offsets", 1, 100, 10),
                ($"{groups} groups, 1 committer each", groups, 1, 1)])
            {
                if (!isCommitting)
                    break;
                var results = new List<(double Rate, double Median, double Worst)>();
                for (var round = 0; round < rounds; round++)
                    results.Add(await CommitAsync(Path.Combine(directory, $"commits-{label.GetHashCode(StringComparison.Ordinal)}-{round}"),
                        count, committers, offsets, seconds));
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{label}: {Statistics.Median([.. results.Select(result => result.Rate)]):N0} commits/s "
                    + $"(best {results.Max(result => result.Rate):N0}), median "
                    + $"{Statistics.Median([.. results.Select(result => result.Median)]):N2} ms, "
                    + $"99 % below {Statistics.Median([.. results.Select(result => result.Worst)]):N1} ms"));
            }
            foreach (var (label, protocol) in ((string, IRebalance)[])[("classic, range", new ClassicRebalance("range")),
                ("classic, cooperative-sticky", new ClassicRebalance("cooperative-sticky")),
                ("consumer protocol, uniform", new ConsumerRebalance())])
            {
                var times = new List<double>();
                for (var round = 0; round <= rounds; round++) // The first round is a warm-up.
                    times.Add(await RebalanceAsync(Path.Combine(directory,
                        $"rebalance-{label.GetHashCode(StringComparison.Ordinal)}-{round}"), protocol, members, partitions));
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"rebalance of {members} members and {partitions} "
                    + $"partitions, {label}: "
                    + $"{Statistics.Median([.. times.Skip(1)]):N3} s (worst {times.Skip(1).Max():N3} s, cold {times[0]:N3} s)"));
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        return 0;
    }

    private static GroupCoordinators Open(string directory, int partitions, TimeSpan initialDelay = default) =>
        new(1, FileStateStore.Open(DiskFileSystem.Instance, directory), new FixedTopics(partitions),
            new GroupOptions { InitialRebalanceDelay = initialDelay }, TimeProvider.System, EngineLog.Silent);

    private static async Task<(double Rate, double Median, double Worst)> CommitAsync(string directory, int groups, int committers,
        int offsets, int seconds)
    {
        await using var coordinators = Open(directory, 1000);
        // Groups are created and opened before the clock starts.
        await Parallel.ForAsync(0, groups, async (number, _) => await CommitOneAsync(coordinators, number, 0, 1, 0));
        var end = Stopwatch.GetTimestamp() + seconds * Stopwatch.Frequency;
        var started = Stopwatch.GetTimestamp();
        var times = await Task.WhenAll(Enumerable.Range(0, groups * committers).Select(committer => Task.Run(async () =>
        {
            var own = new List<double>();
            for (var offset = 1L; Stopwatch.GetTimestamp() < end; offset++)
            {
                var begun = Stopwatch.GetTimestamp();
                await CommitOneAsync(coordinators, committer % groups, committer / groups * offsets, offsets, offset);
                own.Add(Stopwatch.GetElapsedTime(begun).TotalMilliseconds);
            }
            return own;
        })));
        var elapsed = Stopwatch.GetElapsedTime(started).TotalSeconds;
        var sorted = times.SelectMany(own => own).Order().ToList();
        return (sorted.Count / elapsed, sorted[sorted.Count / 2], sorted[sorted.Count * 99 / 100]);
    }

    private static async Task CommitOneAsync(GroupCoordinators coordinators, int group, int firstPartition, int count, long offset)
    {
        var result = await coordinators.CommitOffsetsAsync(new OffsetCommit
        {
            GroupId = $"group-{group}",
            Offsets = [.. Enumerable.Range(firstPartition, count)
                .Select(partition => new PartitionOffset(Topic, partition, new CommittedOffset(offset)))],
        });
        if (result.Partitions.FirstOrDefault(partition => partition.Error != ErrorCode.None) is { } failed)
            throw new InvalidOperationException($"A commit was answered with {failed.Error}: {result.Message}");
    }

    private static async Task<double> RebalanceAsync(string directory, IRebalance protocol, int members, int partitions)
    {
        await using var coordinators = Open(directory, partitions,
            initialDelay: TimeSpan.FromSeconds(1)); // Lets the first generation include all members.
        return await protocol.MeasureAsync(coordinators, members, partitions);
    }

    /// <summary>Metadata of a single topic.</summary>
    private sealed class FixedTopics(int partitions) : IClusterMetadata
    {
        public ClusterImage Image { get; } =
            (ClusterImage.Empty with { Version = 1 }).WithTopic(new ImageTopic(Topic, Guid.CreateVersion7(), TopicStatus.Active, 1,
            ImmutableSortedDictionary<string, string>.Empty, [.. Enumerable.Repeat(ImagePartition.Create([1]), partitions)], partitions));

        public event Action<ClusterImage>? Changed
        {
            add { }
            remove { }
        }

        public ClusterDescription Describe() => throw new NotSupportedException();

        public Task<ClusterImage> WaitForNewerAsync(long version, CancellationToken cancellationToken) => throw new NotSupportedException();
    }
}
