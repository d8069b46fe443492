# Connections that stay, then a new one for each request.
for options in '-t2 -c40 -d2s' '-t2 -c20 -d1s -HConnection:close'; do
  wrk $options http://web/ | tee /tmp/report
  grep -Eq '[1-9][0-9]* requests in' /tmp/report
  if grep -E 'Socket errors|Non-2xx' /tmp/report; then exit 1; fi
done
