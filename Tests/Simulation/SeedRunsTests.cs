namespace OrleansMq.Tests.Simulation;

public sealed class SeedRunsTests
{
    [Fact]
    public void Cancelled_run_continues_where_all_seeds_before_are_done()
    {
        var done = new HashSet<int>();
        using var cancellation = new CancellationTokenSource();
        var runs = Create(seed =>
        {
            lock (done)
                Assert.True(done.Add(seed));
            if (seed == 1_040)
                cancellation.Cancel();
        });

        runs.Run(1_000, 5_000, cancellation.Token);

        Assert.InRange(runs.NextSeed, 1_041, 5_999);
        Assert.Equal(Enumerable.Range(1_000, (int)runs.NextSeed - 1_000), done.Order());
        runs.Run((int)runs.NextSeed, 6_000 - (int)runs.NextSeed, CancellationToken.None);
        Assert.Equal(6_000, runs.NextSeed);
        Assert.Equal(Enumerable.Range(1_000, 5_000), done.Order());
    }

    [Fact]
    public void Run_ends_when_enough_seeds_have_failed()
    {
        var runs = Create(seed => Verdict.Require(seed % 10 != 0, $"seed {seed}"));

        runs.Run(0, 1_000_000, CancellationToken.None, mostFailures: 3);

        Assert.InRange(runs.Failures.Count, 3, 3 + Environment.ProcessorCount);
        Assert.Equal(("seed 0", 0), (runs.Failures[0].Message, runs.Failures[0].Seed));
        Assert.InRange(runs.NextSeed, 20, 999_999);
    }

    private static SeedRuns<Figures> Create(Action<int> run) => new("test", (seed, _) => new Step(() => run(seed)));

    private sealed class Step(Action run) : ISimulation<Figures>
    {
        public string Description => "";
        public Figures Figures { get; } = new() { Seeds = 1 };
        public void Run() => run();
    }
}
