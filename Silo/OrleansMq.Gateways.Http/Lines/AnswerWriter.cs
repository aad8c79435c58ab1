using System.IO.Pipelines;
using OrleansMq.Client;

namespace OrleansMq.Gateways.Http.Lines;

/// <summary>
/// Answers the records of a produce stream in input order, while input is still arriving. It never waits: answers that the client does not
/// read yet stay in the queue, and a pending flush wakes the loop when it completes.
/// </summary>
internal sealed class AnswerWriter(HttpContext http, AnswerQueue queue, WakeUp wakeUp)
{
    /// <summary>The number of bytes between two flushes.</summary>
    private const int FlushBytes = 32 << 10;

    /// <summary>
    /// The most refused runs to hold back. As long as every answer is a refusal, holding them back lets a request that appended nothing get
    /// the refusal's status instead of 200.
    /// </summary>
    private const int HoldRuns = 256;

    private Task _flush = Task.CompletedTask;

    /// <summary>Whether the input has ended; then no answer is held back any more.</summary>
    public bool InputEnded { get; set; }

    /// <summary>Whether all answers are written and flushed.</summary>
    public bool IsIdle => queue.Count == 0 && _flush.IsCompleted;

    /// <summary>Whether status and headers were sent; from then on errors can only be lines.</summary>
    public bool HasStarted { get; private set; }

    private PipeWriter Output => http.Response.BodyWriter;

    /// <summary>Writes the answers of completed batches, as long as the connection accepts them.</summary>
    public void Pump()
    {
        var unflushed = 0;
        while (_flush.IsCompleted && queue.TryPeek(out var batch, out var count) && batch.IsDone)
        {
            if (!HasStarted && !InputEnded && batch.Result.Error != ErrorCode.None && queue.Count < HoldRuns)
                return;
            Start();
            unflushed += WriteRun(batch, count);
            queue.Dequeue();
            if (unflushed >= FlushBytes)
            {
                unflushed = 0;
                Flush();
            }
        }
        if (unflushed > 0)
            Flush();
    }

    /// <summary>Writes the last line of a stream that ended before its input.</summary>
    public void WriteFault(StreamFault fault)
    {
        Start();
        AnswerLines.WriteFault(Output, fault);
        Flush();
    }

    /// <summary>Sends status and headers, also for an input without records.</summary>
    public void Start()
    {
        if (HasStarted)
            return;
        HasStarted = true;
        http.Response.ContentType = HttpContract.JsonLinesMediaType;
    }

    private int WriteRun(LineBatch batch, int count)
    {
        var bytes = 0L;
        for (var i = 0; i < count; i++)
        {
            if (batch.Result.Error == ErrorCode.None)
                AnswerLines.WriteOffset(Output, batch.Partition, batch.Result.BaseOffset < 0
                    ? -1 : batch.Result.BaseOffset + batch.Answered);
            else
                AnswerLines.WriteRefusal(Output, batch.Partition, batch.Result);
            batch.Answered++;
            bytes += AnswerLines.MaxOffsetLine;
        }
        return (int)Math.Min(bytes, FlushBytes);
    }

    private void Flush()
    {
        var flush = Output.FlushAsync(http.RequestAborted);
        if (flush.IsCompleted)
        {
            _ = flush.GetAwaiter().GetResult();
            return;
        }
        _flush = flush.AsTask();
        wakeUp.SignalAfter(_flush);
    }
}
