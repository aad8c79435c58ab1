using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Questions that many ask, and what is kept of them.</summary>
public sealed class SpacedQuestionsTests
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly ManualClock _clock = new();
    private readonly List<(string Key, TaskCompletionSource<int> Answer)> _asked = [];

    [Fact]
    public async Task Question_is_shared_while_it_is_on_its_way_and_for_a_pause()
    {
        var questions = Create();
        var first = questions.AskAsync("a");
        _clock.Advance(10 * Pause);
        Assert.Same(first, questions.AskAsync("a"));
        _asked[0].Answer.SetResult(1);
        Assert.Equal(1, await first);
        Assert.NotSame(first, questions.AskAsync("a"));
        _asked[1].Answer.SetResult(2);
        Assert.Equal(2, await questions.AskAsync("a"));
        Assert.Equal(["a", "a"], _asked.Select(static one => one.Key));
    }

    [Fact]
    public void Answers_that_are_over_are_forgotten()
    {
        var questions = Create();
        for (var i = 0; i < 1_000; i++)
        {
            _ = questions.AskAsync($"host-{i}");
            if (i > 0)
                _asked[i].Answer.SetResult(i);
            _clock.Advance(Pause);
        }
        // The last one, and the one that is not answered.
        Assert.Equal(2, questions.Count);
    }

    private SpacedQuestions<int> Create() => new(key =>
    {
        var answer = new TaskCompletionSource<int>();
        _asked.Add((key, answer));
        return answer.Task;
    }, Pause, _clock);
}
