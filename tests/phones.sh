#!/bin/sh
# Installs the real phones and tools that the tests drive. As root with apt; otherwise it says what is missing,
# and the tests that need them skip with that reason (in CI they fail instead).
need=""
have() { command -v "$1" >/dev/null 2>&1; }
have baresip || need="$need baresip-core"
[ -e /usr/lib/baresip/modules/avcodec.so ] || need="$need baresip-ffmpeg"
have linphonec || need="$need linphone-cli"
have sipp || need="$need sip-tester"
have svmap || have sipvicious_svmap || need="$need sipvicious"
have chromium || need="$need chromium"
have turnserver || need="$need coturn"
have gst-inspect-1.0 && gst-inspect-1.0 --exists webrtcbin && /usr/bin/python3 -c "import gi; gi.require_version('GstWebRTC', '1.0')" 2>/dev/null ||
  need="$need gstreamer1.0-tools gstreamer1.0-nice gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gir1.2-gst-plugins-bad-1.0 python3-gst-1.0"
have sox || need="$need sox"
have espeak-ng || need="$need espeak-ng"
for language in fr en; do
  ls /usr/share/asterisk/sounds/${language}_*/digits/1.g722 >/dev/null 2>&1 || need="$need asterisk-core-sounds-$language-g722"
done
[ -z "$need" ] && exit 0
if [ "$(id -u)" != 0 ] || ! have apt-get; then
  echo "phones.sh: not installed:$need (as root: apt-get install --no-install-recommends$need)"; exit 0
fi
echo "phones.sh: installing$need"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends $need >/dev/null
