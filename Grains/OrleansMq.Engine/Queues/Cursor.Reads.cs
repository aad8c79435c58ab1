namespace OrleansMq.Queues;

/// <summary>Reads of the log on their way, one of each kind. Their numbers are of one sequence.</summary>
internal sealed partial class Cursor
{
    private const long NoRead = -1;
    private const long ReadRetryMs = 100;

    private long _lastRead;
    private long _retryReadsAt;

    private bool MayRead => _now >= _retryReadsAt;

    private void On(ReadFailed failed)
    {
        if (failed.Number == NoRead || !(failed.Number == _keysRead || failed.Number == _headsRead || failed.Number == _levelsRead
            || failed.Number == _search))
            return;
        _keysRead = Without(_keysRead);
        _headsRead = Without(_headsRead);
        _levelsRead = Without(_levelsRead);
        _search = Without(_search);
        _retryReadsAt = _now + ReadRetryMs;

        long Without(long number) => number == failed.Number ? NoRead : number;
    }
}
