using OrleansMq.Gateways.Kafka.Shares;

namespace OrleansMq.Tests.Kafka.Shares;

/// <summary>What a member is told of a partition.</summary>
public sealed class ShareResultTests
{
    [Theory]
    [InlineData(ErrorCode.LeaderNotAvailable, ErrorCode.NotLeaderOrFollower)]
    [InlineData(ErrorCode.RequestTimedOut, ErrorCode.NotLeaderOrFollower)]
    [InlineData(ErrorCode.GroupIdNotFound, ErrorCode.NotLeaderOrFollower)]
    [InlineData(ErrorCode.PolicyViolation, ErrorCode.NotLeaderOrFollower)]
    [InlineData(ErrorCode.TopicAuthorizationFailed, ErrorCode.TopicAuthorizationFailed)]
    [InlineData(ErrorCode.UnknownTopicId, ErrorCode.UnknownTopicId)]
    public void Error_of_a_fetch_is_one_that_clients_retry_or_report(ErrorCode error, ErrorCode told)
    {
        var result = new ShareResult(default);
        result.Fail(error, null);
        Assert.Equal((told, true), (result.Error, result.IsNews));
    }

    [Theory]
    [InlineData(ErrorCode.CoordinatorLoadInProgress, true)]
    [InlineData(ErrorCode.NotCoordinator, true)]
    [InlineData(ErrorCode.GroupIdNotFound, false)]
    [InlineData(ErrorCode.GroupAuthorizationFailed, false)]
    [InlineData(ErrorCode.None, false)]
    public void Coordinator_that_does_not_answer_now_says_nothing_of_a_topic(ErrorCode error, bool isPassing) =>
        Assert.Equal(isPassing, ShareResult.IsPassing(error));
}
