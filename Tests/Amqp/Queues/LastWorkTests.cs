using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>What a thread does after the answers of a batch.</summary>
public sealed class LastWorkTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task First_work_follows_the_answers_on_their_thread_and_the_rest_on_others()
    {
        var (first, second) = (new Work(), new Work());
        var hasAnswered = false;
        LastWork.After(() =>
        {
            LastWork.Queue(first);
            LastWork.Queue(second);
            Assert.False(first.Done.IsCompleted);
            hasAnswered = true;
        });
        Assert.True(hasAnswered);
        Assert.True(first.Done.IsCompleted);
        Assert.Equal(Environment.CurrentManagedThreadId, await first.Done);
        Assert.NotEqual(0, await second.Done.WaitAsync(Patience));
    }

    [Fact]
    public async Task Work_without_answers_is_done_on_the_thread_pool()
    {
        var work = new Work();
        var thread = new Thread(() => LastWork.Queue(work));
        thread.Start();
        thread.Join();
        Assert.NotEqual(thread.ManagedThreadId, await work.Done.WaitAsync(Patience));
    }

    [Fact]
    public async Task Answers_within_answers_have_their_work_done_once()
    {
        var work = new Work();
        LastWork.After(() => LastWork.After(() => LastWork.Queue(work)));
        Assert.NotEqual(0, await work.Done.WaitAsync(Patience));
    }

    private sealed class Work : IThreadPoolWorkItem
    {
        private readonly TaskCompletionSource<int> _done = new();

        public Task<int> Done => _done.Task;

        // A second call throws.
        public void Execute() => _done.SetResult(Environment.CurrentManagedThreadId);
    }
}
