using System.IO.Pipelines;
using OrleansMq.Client.Http;

namespace OrleansMq.Silo.Http.Lines;

/// <summary>
/// Answers the records of a produce stream in input order, while the input is still coming. It never waits: what the client does not read
/// yet stays in the queue, and a flush that is not done is looked at again when it is.
/// </summary>
internal sealed class AnswerWriter(HttpContext http, AnswerQueue queue, WakeUp wakeUp)
{
    /// <summary>Bytes written between two flushes.</summary>
    private const int FlushBytes = 32 << 10;

    /// <summary>
    /// Runs that may be held back while all that was answered so far is a refusal, so that a request of which nothing was appended gets the
    /// status of the refusal instead of 200.
    /// </summary>
    private const int HoldRuns = 256;

    private Task _flush = Task.CompletedTask;

    /// <summary>Whether the input has ended: then nothing is held back for it any more.</summary>
    public bool InputEnded { get; set; }

    /// <summary>Whether everything that was asked for was written and flushed.</summary>
    public bool IsIdle => queue.Count == 0 && _flush.IsCompleted;

    /// <summary>Whether the status and the headers are on their way: then errors can only be lines.</summary>
    public bool HasStarted { get; private set; }

    private PipeWriter Output => http.Response.BodyWriter;

    /// <summary>Writes the answers of the batches that are done, as far as the connection takes them.</summary>
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

    /// <summary>The last line, where the stream ended before its input.</summary>
    public void WriteFault(StreamFault fault)
    {
        Start();
        AnswerLines.WriteFault(Output, fault);
        Flush();
    }

    /// <summary>Sends status and headers, for an input without a single record too.</summary>
    public void Start()
    {
        if (HasStarted)
            return;
        HasStarted = true;
        http.Response.ContentType = HttpContract.JsonLinesMediaType;
    }

    private int WriteRun(ProduceBatch batch, int count)
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
