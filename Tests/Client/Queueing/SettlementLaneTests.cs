using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Queueing;

/// <summary>What a queue's consumer settles shares requests, and each caller learns of its own.</summary>
public sealed class SettlementLaneTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly QueueLock s_lock = new(Guid.NewGuid(), 3, 7);
    private static readonly QueueLock s_other = s_lock with { Number = 8 };

    private readonly List<IReadOnlyList<QueueSettlement>> _requests = [];
    private readonly List<QueueSettlement> _unanswered = [];
    private readonly TaskCompletionSource _begin = new();

    [Fact]
    public async Task Neighbours_that_are_settled_alike_become_one_range()
    {
        var lane = Lane(static _ => ErrorCode.None);
        var settled = new[]
        {
            Accept(s_lock, 12), Accept(s_lock, 10), Accept(s_other, 13), Accept(s_lock, 11), Accept(s_lock, 20),
            new QueueSettlement(s_lock, 14, 14, QueueAction.Fail), new QueueSettlement(s_lock, 15, 15, QueueAction.Fail),
        }.Select(lane.SettleAsync).ToList();
        _begin.SetResult();

        Assert.All(await Task.WhenAll(settled).WaitAsync(Patience), static error => Assert.Equal(ErrorCode.None, error));
        Assert.Equal(
        [
            Accept(s_lock, 10) with { Last = 12 }, Accept(s_lock, 20), Accept(s_other, 13),
            new QueueSettlement(s_lock, 14, 14, QueueAction.Fail), new QueueSettlement(s_lock, 15, 15, QueueAction.Fail),
        ], Assert.Single(_requests));
        Assert.Empty(_unanswered);
    }

    [Fact]
    public async Task Range_with_a_record_whose_lock_has_ended_is_settled_one_by_one()
    {
        var lane = Lane(static settlement => settlement is { First: <= 5, Last: >= 5 } ? ErrorCode.InvalidRecordState : ErrorCode.None);
        var settled = Enumerable.Range(4, 3).Select(offset => lane.SettleAsync(Accept(s_lock, offset))).ToList();
        _begin.SetResult();

        Assert.Equal([ErrorCode.None, ErrorCode.InvalidRecordState, ErrorCode.None], await Task.WhenAll(settled).WaitAsync(Patience));
        Assert.Equal(2, _requests.Count);
        Assert.Equal([4, 5, 6], _requests[1].Select(static settlement => settlement.First));
        Assert.Empty(_unanswered);
    }

    [Fact]
    public async Task Lost_request_fails_each_of_its_settlements_and_later_ones_are_sent()
    {
        var lane = Lane(static settlement => settlement.First < 100 ? throw new BrokerException(ErrorCode.RequestTimedOut, "Lost.")
            : ErrorCode.NotLeaderOrFollower);
        var lost = new[] { lane.SettleAsync(Accept(s_lock, 1)), lane.SettleAsync(Accept(s_lock, 2)) };
        _begin.SetResult();
        foreach (var one in lost)
            Assert.Equal(ErrorCode.RequestTimedOut, (await Assert.ThrowsAsync<BrokerException>(() => one.WaitAsync(Patience))).Code);

        Assert.Equal(ErrorCode.NotLeaderOrFollower, await lane.SettleAsync(Accept(s_lock, 100)).WaitAsync(Patience));
        Assert.Equal([1, 2, 100], _unanswered.Select(static settlement => settlement.First));
    }

    [Fact]
    public async Task Answer_that_leaves_a_settlement_out_fails_the_request()
    {
        var lane = new SettlementLane(static _ => ValueTask.FromResult<IReadOnlyList<ErrorCode>>([]), _unanswered.Add);
        for (var request = 1; request <= 2; request++)
        {
            var refused = await Assert.ThrowsAsync<BrokerException>(() => lane.SettleAsync(Accept(s_lock, 1)).WaitAsync(Patience));
            Assert.Equal(ErrorCode.UnknownServerError, refused.Code);
            Assert.Equal(request, _unanswered.Count);
        }
        await lane.IdleAsync().WaitAsync(Patience);
    }

    [Fact]
    public async Task Request_has_at_most_a_thousand_ranges()
    {
        var lane = Lane(static _ => ErrorCode.None);
        var settled = Enumerable.Range(0, 2_500).Select(number => lane.SettleAsync(Accept(s_lock, number * 2))).ToList();
        _begin.SetResult();

        await Task.WhenAll(settled).WaitAsync(Patience);
        Assert.All(_requests, static request => Assert.InRange(request.Count, 1, 1_000));
        Assert.Equal(Enumerable.Range(0, 2_500).Select(static number => number * 2L),
            _requests.SelectMany(static request => request).Select(static settlement => settlement.First));
    }

    // A first request, of the lane's own, waits for the test: the second one has all that it settled.
    private SettlementLane Lane(Func<QueueSettlement, ErrorCode> answer)
    {
        var isFirst = true;
        using var isSent = new ManualResetEventSlim();
        var lane = new SettlementLane(async settlements =>
        {
            if (isFirst)
            {
                isFirst = false;
                isSent.Set();
                await _begin.Task;
                return [ErrorCode.None];
            }
            _requests.Add(settlements);
            return [.. settlements.Select(answer)];
        }, _unanswered.Add);
        _ = lane.SettleAsync(Accept(s_other, 1_000_000));
        Assert.True(isSent.Wait(Patience));
        return lane;
    }

    private static QueueSettlement Accept(QueueLock token, long offset) => new(token, offset, offset, QueueAction.Accept);
}
