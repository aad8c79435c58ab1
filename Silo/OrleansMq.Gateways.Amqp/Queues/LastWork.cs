namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>What a thread does when it has answered all messages of a batch: work that is queued meanwhile. The first of it stays on the
/// thread, which has nothing else to do then, and spares the wake of another one; the rest goes to the thread pool.</summary>
internal static class LastWork
{
    [ThreadStatic]
    private static bool t_isOpen;
    [ThreadStatic]
    private static IThreadPoolWorkItem? t_first;

    /// <summary>Answers the messages, then does the work that was queued first meanwhile on this thread.</summary>
    /// <param name="answer">Answers them. It must not throw.</param>
    public static void After(Action answer)
    {
        if (t_isOpen)
        {
            answer();
            return;
        }
        t_isOpen = true;
        answer();
        var first = t_first;
        (t_isOpen, t_first) = (false, null);
        first?.Execute();
    }

    /// <summary>Does the work on this thread after the answers, where it answers and has none yet; else on the thread pool.</summary>
    /// <param name="work">The work. It must not throw.</param>
    public static void Queue(IThreadPoolWorkItem work)
    {
        if (t_isOpen && t_first is null)
            t_first = work;
        else
            ThreadPool.UnsafeQueueUserWorkItem(work, preferLocal: false);
    }
}
