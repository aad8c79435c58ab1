namespace OrleansMq.Queues;

/// <summary>
/// Dead letters, from an intent in force to the target's confirmation in force. They are published in the order of their sequences, one
/// publication at a time, so the target tells a repetition by its last sequence.
/// </summary>
internal sealed partial class Cursor
{
    private IReadOnlyList<DeadLetterIntent> _publishing = [];
    private long _publication;
    private long _finishedBelow;
    private long _retryPublishAt;

    private void Publish()
    {
        if (!_serves || _state is null || _publishing.Count > 0 || _now < _retryPublishAt || _state.Intents.Count == 0 || IsBeginning)
            return;
        var intents = new List<DeadLetterIntent>();
        foreach (var intent in _rules.ToPublish(_state, _finishedBelow))
        {
            if (intents.Count == MostDeadLettersAtOnce || (intents.Count > 0 && intents[0].Target != intent.Target))
                break;
            intents.Add(intent);
        }
        if (intents.Count == 0)
            return;
        _publishing = intents;
        _effects.Add(new PublishDeadLetters(++_publication, intents[0].Target, intents));
    }

    private void EndPublication(long number, bool isConfirmed, bool isTargetGone = false, DeadLettersPublished? published = null)
    {
        if (number != _publication || _publishing.Count == 0)
            return;
        var isDropped = !isConfirmed && _rules.IsDropped(isTargetGone);
        if (isDropped || _rules.IsDeadLetterDone(isConfirmed))
        {
            foreach (var intent in _publishing)
            {
                if (intent.Sequence > published?.Through)
                    break;
                var isPublished = !isDropped && published?.Deleted.Contains(intent.Sequence) != true;
                _finishedBelow = intent.Sequence + 1;
                _draft.Finished.Add(new FinishedIntent(intent.Sequence, isPublished));
            }
        }
        else
            _retryPublishAt = _now + PublishRetryMs;
        _publishing = [];
    }
}
