using OrleansMq.Gateways.Amqp.Management.Peers;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary>Which connections a broker describes for a question.</summary>
public sealed class PeerQuestionTests
{
    private const string Name = "127.0.0.1:40000 -> 127.0.0.1:5672";

    [Fact]
    public void Question_for_a_list_has_no_name_and_may_concern_all()
    {
        var question = Of();
        Assert.False(question.HasName);
        Assert.True(question.MayConcern(Name));
    }

    [Theory]
    [InlineData(Name, null, true)]
    [InlineData("127.0.0.1:40001 -> 127.0.0.1:5672", null, false)]
    [InlineData(null, Name + " (1)", true)]
    [InlineData(null, "127.0.0.1:40001 -> 127.0.0.1:5672 (1)", false)]
    public void Question_for_one_name_may_concern_that_alone(string? connection, string? channel, bool mayConcern)
    {
        var question = Of(connection, channel);
        Assert.True(question.HasName);
        Assert.Equal(mayConcern, question.MayConcern(Name));
    }

    private static PeerQuestion Of(string? connection = null, string? channel = null) => new(QuestionKind.Channels)
    {
        Viewer = null,
        Connection = connection,
        Channel = channel,
    };
}
