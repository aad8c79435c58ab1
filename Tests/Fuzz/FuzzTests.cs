using OrleansMq.Tests.Fuzz.InProcess;
using OrleansMq.Tests.Fuzz.Wire;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Fuzz;

/// <summary>Hostile clients, as the program runs them, for a short time.</summary>
public sealed class FuzzTests(ITestOutputHelper output)
{
    private const int WireSeconds = 60;
    private const long ShortFrames = 400_000, LongFrames = 100_000_000;
    private const long ShortAmqpFrames = 300_000, LongAmqpFrames = 50_000_000;

    [SkippableFact]
    public async Task Hostile_connections_to_every_port_cost_others_nothing()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "it reads /proc");
        await WireAsync(WireSeconds);
    }

    [SkippableFact]
    [Trait("Category", "Long")]
    public async Task Hostile_connections_to_every_port_cost_others_nothing_for_ten_minutes()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "it reads /proc");
        await WireAsync(600);
    }

    [Fact]
    public Task Frames_of_every_key_and_version_are_answered_or_refused() => FramesAsync(ShortFrames, isAmqp: false);

    [Fact]
    [Trait("Category", "Long")]
    public Task Hundred_million_frames_are_answered_or_refused() => FramesAsync(LongFrames, isAmqp: false);

    [Fact]
    public Task Frames_of_amqp_clients_leave_nothing_behind_and_are_answered_in_order() => FramesAsync(ShortAmqpFrames, isAmqp: true);

    [Fact]
    [Trait("Category", "Long")]
    public Task Fifty_million_frames_of_amqp_clients_leave_nothing_behind() => FramesAsync(LongAmqpFrames, isAmqp: true);

    private async Task WireAsync(int seconds)
    {
        var run = new WireRun(new FuzzOptions(Seed(), 0, seconds, InProcess: false), output.WriteLine);
        await run.RunAsync(CancellationToken.None);
        Assert.Empty(run.Problems);
        Assert.All(Enum.GetValues<HostilePort>()[1..], port =>
            Assert.True(run.PerPort[(int)port] > 10, $"{port}: {run.PerPort[(int)port]}"));
    }

    private async Task FramesAsync(long frames, bool isAmqp)
    {
        var run = new FrameRun(new FuzzOptions(Seed(), frames, 0, InProcess: true) { IsAmqp = isAmqp }, output.WriteLine);
        Assert.Equal(0, await run.RunAsync(CancellationToken.None));
        Assert.True(run.Decoded > frames / 10, $"{run.Decoded} of {frames} frames were valid requests.");
        Assert.True(run.Answered > frames / 30, $"{run.Answered} of {frames} frames were answered.");
    }

    private static long Seed() =>
        long.TryParse(Environment.GetEnvironmentVariable("OMQ_SEED"), out var seed) ? seed : FuzzOptions.NewSeed();
}
