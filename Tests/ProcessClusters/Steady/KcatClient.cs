using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>kcat: one that produces its input line by line, and two that consume in a group.</summary>
internal sealed class KcatClient : SteadyClient
{
    // kcat reads its input by the kilobyte, so the last lines wait for more.
    private const int HeldBack = 500;

    private readonly int _count;
    private readonly bool _holds;
    private readonly SteppedNumbers _numbers;
    private readonly RunningProgram _producer;
    private readonly RunningProgram[] _members;

    private KcatClient(string kcat, SteadyTarget target)
    {
        (_count, _holds, _numbers) = (target.Count, target.Holds.Count > 0, new SteppedNumbers(target));
        var login = target.Login?.ToKcat() ?? [];
        _producer = new RunningProgram(kcat, ["-P", "-b", target.Brokers, "-t", target.Topic, "-X", "enable.idempotence=true",
            "-X", "linger.ms=5", "-X", "sticky.partitioning.linger.ms=0", .. login], input: _numbers.Lines);
        _members =
            [.. Enumerable.Range(0, 2)
                .Select(_ => new RunningProgram(kcat, ["-G", target.Topic, "-b", target.Brokers, "-q", "-u",
                "-X", "auto.offset.reset=earliest", "-X", $"session.timeout.ms={SessionMilliseconds}", "-X", "heartbeat.interval.ms=300",
                .. login, target.Topic]))];
    }

    public static Task<SteadyClient> StartAsync(SteadyTarget target) =>
        Task.FromResult<SteadyClient>(new KcatClient(ClientProgram.Require("kcat"), target));

    public override void GoOn() => _numbers.GoOn();

    public override async Task UnderWayAsync()
    {
        if (_holds)
        {
            await ReadAsync(1000);
            return;
        }
        _numbers.GiveTo(_count / 2);
        await AwaitReadAsync(_count / 3);
        // These lines are in flight during the kill.
        _numbers.GiveTo(_count * 3 / 4);
    }

    public override Task ReadAsync(int count) => AwaitReadAsync(count - HeldBack);

    public override async Task EndAsync()
    {
        if (!_holds)
            _numbers.GiveTo(_count);
        _numbers.End();
        (await _producer.ExitAsync()).Expect(0);
        await AwaitReadAsync(_count);
    }

    public override async ValueTask DisposeAsync()
    {
        await _producer.DisposeAsync();
        foreach (var member in _members)
            await member.DisposeAsync();
    }

    private Task AwaitReadAsync(int to)
    {
        var wanted = Enumerable.Range(0, to).Select(static number => $"{number}").ToHashSet();
        var next = new int[_members.Length];
        return AwaitAsync(() =>
        {
            for (var at = 0; at < _members.Length; at++)
                wanted.ExceptWith(_members[at].LinesFrom(ref next[at]));
            return wanted.Count == 0;
        }, () => $"{wanted.Count} records were not read.");
    }
}
