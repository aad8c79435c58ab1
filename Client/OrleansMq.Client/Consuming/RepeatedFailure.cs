namespace OrleansMq.Client;

/// <summary>Counts failures that follow one another, so that equal ones are logged once. For one caller at a time.</summary>
internal sealed class RepeatedFailure
{
    private ErrorCode _last;
    private int _count;

    /// <summary>Counts a failure. Returns whether the one before it was another, or none.</summary>
    public bool IsNew(ErrorCode error)
    {
        _count++;
        var isNew = error != _last;
        _last = error;
        return isNew;
    }

    /// <summary>Ends the series. Returns how many failures it had.</summary>
    public int End()
    {
        var count = _count;
        (_last, _count) = (ErrorCode.None, 0);
        return count;
    }
}
