using System.Buffers;
using System.Diagnostics.Metrics;
using System.Text;
using OrleansMq.Groups;
using OrleansMq.Records;
using OrleansMq.Gateways.Http.Metrics;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Silo.Metrics;

/// <summary>How often groups are sampled, and when their series end.</summary>
public sealed class GroupMetricsTests : IClassFixture<RunningBroker>, IDisposable
{
    private static readonly TimeSpan Once = GroupMetrics.LeastInterval;
    private readonly ManualTimeProvider _time = new();
    private readonly RecordedGroups _groups = new() { Offsets = [] };
    private readonly Meter _meter = new("test");
    private readonly MeterReader _reader;
    private readonly GroupMetrics _metrics;
    private readonly GroupLag _lag;
    private IReadOnlyCollection<string> _local = ["billing"];

    public GroupMetricsTests(RunningBroker running)
    {
        _reader = new MeterReader(_meter);
        _metrics = new GroupMetrics(_time);
        _metrics.AddTo(_meter);
        _lag = new GroupLag(new ScriptedBroker(running.Script) { OnGroups = _groups }, _time, CompressionCodecs.Empty);
    }

    public void Dispose()
    {
        _reader.Dispose();
        _meter.Dispose();
    }

    [Fact]
    public async Task Frequent_scrapes_cause_no_more_lookups_than_the_interval_allows()
    {
        for (var i = 0; i < 5; i++)
            await RefreshAsync();
        Assert.Equal(1, Looks());
        _time.Advance(Once - TimeSpan.FromMilliseconds(1));
        await RefreshAsync();
        Assert.Equal(1, Looks());
        _time.Advance(TimeSpan.FromMilliseconds(1));
        await RefreshAsync();
        Assert.Equal(2, Looks());
        Assert.Contains("orleansmq_group_members{group=\"billing\"} 1\n", Text(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Group_moved_or_deleted_has_no_series_here()
    {
        await RefreshAsync();
        Assert.Contains("group=\"billing\"", Text(), StringComparison.Ordinal);
        _local = [];
        _time.Advance(Once);
        await RefreshAsync();
        Assert.DoesNotContain("group=\"billing\"", Text(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Unresponsive_coordinator_delays_a_scrape_only_briefly()
    {
        await RefreshAsync();
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var answer = new TaskCompletionSource();
        _groups.Before = _ =>
        {
            asked.TrySetResult();
            return answer.Task;
        };
        _time.Advance(Once);
        var refresh = RefreshAsync();
        await asked.Task.WaitAsync(RunningBroker.Patience);
        using var patience = new CancellationTokenSource(RunningBroker.Patience);
        while (!refresh.IsCompleted)
        {
            patience.Token.ThrowIfCancellationRequested();
            _time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }
        await refresh;
        Assert.Contains("group=\"billing\"", Text(), StringComparison.Ordinal);

        answer.SetException(new BrokerException(ErrorCode.CoordinatorNotAvailable, "gone"));
        await RefreshAsync();
        Assert.DoesNotContain("group=\"billing\"", Text(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Group_deleted_during_a_lookup_has_no_series_and_a_recreated_one_has()
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var answer = new TaskCompletionSource();
        _groups.Before = _ =>
        {
            asked.TrySetResult();
            return answer.Task;
        };
        var refresh = RefreshAsync();
        await asked.Task.WaitAsync(RunningBroker.Patience);
        _metrics.Forget("billing");
        answer.SetResult();
        await refresh;
        Assert.DoesNotContain("group=\"billing\"", Text(), StringComparison.Ordinal);

        _time.Advance(Once);
        await RefreshAsync();
        Assert.Contains("group=\"billing\"", Text(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Last_known_figures_stay_while_the_local_groups_are_unknown()
    {
        await RefreshAsync();
        _time.Advance(Once);
        await _metrics.RefreshAsync(_groups, _lag, _ => throw new BrokerException(ErrorCode.CoordinatorNotAvailable, "not now"),
            CancellationToken.None);
        Assert.Contains("group=\"billing\"", Text(), StringComparison.Ordinal);
    }

    private Task RefreshAsync() => _metrics.RefreshAsync(_groups, _lag, _ => new(_local), CancellationToken.None).AsTask();

    private int Looks()
    {
        lock (_groups.Asked)
            return _groups.Asked.Count(asked => asked is "describe billing");
    }

    private string Text()
    {
        var text = new ArrayBufferWriter<byte>();
        _reader.WriteText(text);
        return Encoding.UTF8.GetString(text.WrittenSpan);
    }
}
