using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Engine.Groups.Coordination;

public sealed class WaitingRequestsTests
{
    private readonly WaitingRequests<int> _waiting = new();

    private static CoordinatorRequest Request(long number) => new(number, new Heartbeat("g", 1, "m"));

    [Fact]
    public void Newer_request_of_a_member_replaces_its_earlier_one()
    {
        Assert.Null(_waiting.Add("a", Request(1), 10));
        Assert.Equal(1, _waiting.Add("a", Request(2), 20)!.RequestId);
        Assert.Equal(1, _waiting.Count);
        Assert.Equal([20], _waiting.Details);
        Assert.Equal(2, _waiting.Remove("a")!.RequestId);
        Assert.Null(_waiting.Remove("a"));
        Assert.False(_waiting.Contains("a"));
    }

    [Fact]
    public void Answered_requests_are_removed_and_the_others_wait()
    {
        _waiting.Add("a", Request(1), 10);
        _waiting.Add("b", Request(2), 20);
        _waiting.Add("c", Request(3), 30);
        var answers = _waiting.TakeAnswered((memberId, detail) => detail == 20 ? null : $"{detail} for {memberId}");
        Assert.Equal([(1L, "10 for a", "a"), (3L, "30 for c", "c")],
            answers.Select(answer => (answer.Request.RequestId, (string)answer.Result, answer.MemberId)));
        Assert.Equal(["b"], _waiting.MemberIds);
    }

    [Fact]
    public void All_requests_are_taken_once()
    {
        Assert.Empty(_waiting.TakeAll());
        _waiting.Add("b", Request(1), 0);
        _waiting.Add("a", Request(2), 0);
        Assert.Equal([1, 2], _waiting.TakeAll().Select(request => request.RequestId).Order());
        Assert.Empty(_waiting.TakeAll());
    }

    [Fact]
    public void Abandoned_request_no_longer_waits_and_its_member_is_returned()
    {
        _waiting.Add("a", Request(1), 0);
        _waiting.Add("b", Request(2), 0);
        Assert.Equal("b", _waiting.Abandon(2));
        Assert.Null(_waiting.Abandon(2));
        Assert.Equal(["a"], _waiting.MemberIds);
    }

    [Fact]
    public void Abandoned_request_that_was_replaced_leaves_the_newer_one_waiting()
    {
        _waiting.Add("a", Request(1), 0);
        _waiting.Add("a", Request(2), 0);
        Assert.Null(_waiting.Abandon(1));
        Assert.True(_waiting.Contains("a"));
    }
}
