using System.Text;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>kcat: one that produces its input line by line, and two that consume in a group.</summary>
internal sealed class KcatClient : SteadyClient
{
    private readonly int _count;
    private readonly SteppedStream _input = new();
    private readonly RunningProgram _producer;
    private readonly RunningProgram[] _members;

    private KcatClient(string kcat, SteadyTarget target)
    {
        _count = target.Count;
        var login = target.Login?.ToKcat() ?? [];
        _producer = new RunningProgram(kcat, ["-P", "-b", target.Brokers, "-t", target.Topic, "-X", "enable.idempotence=true",
            "-X", "linger.ms=5", .. login], input: _input);
        _members =
            [.. Enumerable.Range(0, 2)
                .Select(_ => new RunningProgram(kcat, ["-G", target.Topic, "-b", target.Brokers, "-q", "-u",
                "-X", "auto.offset.reset=earliest", "-X", $"session.timeout.ms={SessionMilliseconds}", "-X", "heartbeat.interval.ms=300",
                .. login, target.Topic]))];
    }

    public static Task<SteadyClient> StartAsync(SteadyTarget target) =>
        Task.FromResult<SteadyClient>(new KcatClient(ClientProgram.Require("kcat"), target));

    public override async Task UnderWayAsync()
    {
        Give(0, _count / 2);
        // kcat reads its input by the kilobyte, so the last lines wait for more.
        await AwaitReadAsync(_count / 3);
        // These lines are in flight during the kill.
        Give(_count / 2, _count * 3 / 4);
    }

    public override async Task EndAsync()
    {
        Give(_count * 3 / 4, _count);
        _input.End();
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

    private void Give(int from, int to) =>
        _input.Give(Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(from, to - from).Select(static number => $"{number}\n"))));
}
